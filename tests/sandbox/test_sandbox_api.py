"""The calls of the sandbox over a real socket, against the contract and Django's habits."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avatarkit import Client, PersonaCreate, errors
from avatarkit.clock import SystemClock
from avatarkit.models import Persona, Quota
from avatarkit.sandbox import Behaviour, Sandbox
from avatarkit.sandbox.behaviour import ErrorShape
from avatarkit.sandbox.error_responses import ErrorResponse
from avatarkit.sandbox.personas import serializers
from avatarkit.sandbox.web.request_body import Body
from avatarkit.sandbox.web.validation import is_valid_url, validate

if TYPE_CHECKING:
    from conftest import ManualClock

BLANK = "This field may not be blank."
FILES, URLS = "/api/personas_v2/", "/api/personas/"
COUNT, PAGES = "/api/personas_v2/count/", "/api/personas/paginated/"
ADA = {"gender": "f", "creator_name": "Ada"}

# Source: the contract, and the vendor's page of "Get avatar by ID".
CREATED = {
    "id",
    "gender",
    "creator_name",
    "lipsync_input_url",
    "matching_voice_non_null",
    "process_status",
    "failed_reason",
    "created_at",
    "updated_at",
    "video_scene",
    "keywords",
    "lipsync_input",
    "consent_video",
    "labels",
    "webhook_url",
}
SHOWN = {
    "id",
    "created_at",
    "updated_at",
    "gender",
    "creator_name",
    "suitable_industries",
    "preview_image_16_9",
    "preview_image_1_1",
    "preview_image_9_16",
    "preview_video_16_9",
    "preview_video_1_1",
    "preview_video_9_16",
    "landscape_preview_video",
    "squared_preview_video",
    "portrait_preview_video",
    "is_active",
    "process_status",
    "failed_reason",
    "type",
    "age_range",
    "location",
    "style",
    "video_scene",
    "keywords",
}

Serve = Callable[..., httpx.Client]


def client_of(sandbox: Sandbox) -> httpx.Client:
    """A bare client with the keys of that sandbox."""
    keys = {"X-API-ID": sandbox.api_id, "X-API-KEY": sandbox.api_key}
    return httpx.Client(base_url=sandbox.url, headers=keys, trust_env=False)


@pytest.fixture
def serve(manual_clock: ManualClock) -> Iterator[Serve]:
    """Makes a sandbox on the manual clock, and gives a bare client of it."""
    with ExitStack() as stack:

        def start(**options: Any) -> httpx.Client:
            sandbox = stack.enter_context(Sandbox(clock=manual_clock, **options))
            return stack.enter_context(client_of(sandbox))

        yield start


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    """A bare client of a sandbox on the manual clock."""
    return serve()


@pytest.fixture(scope="module")
def shared() -> Iterator[httpx.Client]:
    """A bare client of a sandbox for tests that create nothing."""
    with Sandbox(max_personas=10_000) as sandbox, client_of(sandbox) as client:
        yield client


class TestKeys:
    """Both headers are asked for on every call."""

    @pytest.mark.parametrize("missing", ["X-API-ID", "X-API-KEY"])
    def test_a_missing_header_is_said(self, shared: httpx.Client, missing: str) -> None:
        """Without one of the two the answer is the vendor's 401."""
        headers = dict(shared.headers)
        del headers[missing.lower()]
        answer = httpx.get(f"{shared.base_url}{COUNT}", headers=headers, trust_env=False)
        assert answer.status_code == 401
        assert answer.json() == {"detail": "Authentication credentials were not provided."}
        assert "www-authenticate" in answer.headers

    @pytest.mark.parametrize("wrong", ["X-API-ID", "X-API-KEY"])
    @pytest.mark.parametrize("value", ["no", "é"])
    def test_a_wrong_key_is_said(self, shared: httpx.Client, wrong: str, value: str) -> None:
        """With one that is wrong, too, and the answer does not say which."""
        answer = shared.get(COUNT, headers={wrong: value.encode("latin-1")})
        assert answer.status_code == 401
        assert answer.json() == {"detail": "Invalid API ID or API key."}

    @pytest.mark.parametrize("path", [FILES, URLS, PAGES, COUNT, "/api/personas/x/"])
    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT"])
    def test_no_call_goes_without(self, shared: httpx.Client, method: str, path: str) -> None:
        """The keys are looked at before the method."""
        answer = httpx.request(method, f"{shared.base_url}{path}", trust_env=False)
        assert answer.status_code == 401


class TestPaths:
    """What Django answers around the API."""

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("PUT", FILES, "GET, POST, HEAD"),
            ("GET", URLS, "POST"),
            ("PATCH", "/api/personas/x/", "GET, DELETE, HEAD"),
            ("POST", COUNT, "GET, HEAD"),
        ],
    )
    def test_another_method_is_not_allowed(
        self, shared: httpx.Client, method: str, path: str, allowed: str
    ) -> None:
        """405 in the framework's words, with the methods that are."""
        answer = shared.request(method, path)
        assert answer.status_code == 405
        assert answer.json() == {"detail": f'Method "{method}" not allowed.'}
        assert answer.headers["allow"] == allowed

    @pytest.mark.parametrize("method", ["GET", "POST"])
    @pytest.mark.parametrize("path", [FILES, URLS, COUNT, PAGES, "/api/personas/x/"])
    def test_a_missing_slash_is_redirected(
        self, shared: httpx.Client, method: str, path: str
    ) -> None:
        """301 to the same path with its slash and query, whatever the method."""
        answer = shared.request(method, f"{path[:-1]}?a=1")
        assert answer.status_code == 301
        assert answer.headers["location"] == f"{path}?a=1"

    def test_the_redirect_can_be_switched_off(self, serve: Serve) -> None:
        """A setting makes it a 404."""
        api = serve(behaviour=Behaviour(redirect_missing_slash=False))
        assert api.get(COUNT[:-1]).status_code == 404

    @pytest.mark.parametrize("path", ["/", "/api/", "/api/lipsyncs/", "/api/lipsyncs", "/x/y"])
    def test_what_does_not_exist_is_a_page(self, shared: httpx.Client, path: str) -> None:
        """404 as HTML where the API's code is not reached."""
        answer = shared.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("text/html")

    def test_head_is_get_without_a_body(self, shared: httpx.Client) -> None:
        """HEAD answers wherever GET does."""
        answer = shared.head(COUNT)
        assert (answer.status_code, answer.content) == (200, b"")


class TestCreate:
    """``POST /api/personas_v2/`` and ``POST /api/personas/``."""

    def test_the_answer_has_the_fields_of_the_contract(self, api: httpx.Client) -> None:
        """201 with every field of the contract, pending, with timestamps of the vendor's form."""
        answer = api.post(FILES, json=ADA)
        assert answer.status_code == 201
        body = answer.json()
        assert set(body) == CREATED
        assert uuid.UUID(body["id"]).version == 4
        assert (body["process_status"], body["failed_reason"]) == ("pending", None)
        assert body["created_at"] == body["updated_at"] == "2026-01-05T01:00:00.000000-08:00"
        assert (body["labels"], body["webhook_url"], body["lipsync_input"]) == ([], None, None)
        assert isinstance(body["lipsync_input_url"], str)
        assert isinstance(body["matching_voice_non_null"], str)
        persona = Persona.model_validate(body)
        assert persona.created_at == datetime(2026, 1, 5, 9, tzinfo=UTC)

    @pytest.mark.parametrize("kind", ["json", "data", "multipart"])
    def test_all_fields_arrive_in_each_encoding(self, api: httpx.Client, kind: str) -> None:
        """JSON, a form and multipart say the same."""
        wanted = {
            **ADA,
            "video_scene": "büro",
            "keywords": "a,b",
            "labels": ["one", "two & three"],
            "webhook_url": "https://example.com/hook?a=1",
        }
        if kind == "multipart":
            body: dict[str, Any] = {"data": wanted, "files": {"consent_video": ("", b"")}}
        else:
            body = {kind: wanted}
        answer = api.post(FILES, **body)
        assert answer.status_code == 201, answer.text
        assert {name: answer.json()[name] for name in wanted} == wanted

    def test_labels_of_a_form_may_be_numbered(self, api: httpx.Client) -> None:
        """The framework reads labels[0], labels[1] as a list, in the order of the numbers."""
        data = {**ADA, "labels[10]": "c", "labels[0]": "a", "labels[x]": "no"}
        assert api.post(FILES, data=data).json()["labels"] == ["a", "c"]

    def test_numbers_are_read_as_text_and_blanks_are_trimmed(self, api: httpx.Client) -> None:
        """As the framework does: 7 is "7", and spaces around are dropped."""
        body = api.post(FILES, json={**ADA, "creator_name": 7, "keywords": "  a  "}).json()
        assert (body["creator_name"], body["keywords"]) == ("7", "a")

    @pytest.mark.parametrize("value", ["", "   ", None])
    def test_optional_texts_may_be_empty(self, api: httpx.Client, value: str | None) -> None:
        """An empty scene, keywords or webhook is taken, and null stays null."""
        names = ("video_scene", "keywords", "webhook_url")
        body = api.post(FILES, json={**ADA, **dict.fromkeys(names, value)}).json()
        assert {body[name] for name in names} == {value and value.strip()}

    def test_videos_as_urls_keep_their_address(self, api: httpx.Client) -> None:
        """``POST /api/personas/`` answers with the URLs that were given."""
        videos = {"lipsync_input": "https://example.com/a.mp4", "consent_video": ""}
        body = api.post(URLS, json={**ADA, **videos}).json()
        assert set(body) == CREATED
        assert body["lipsync_input"] == body["lipsync_input_url"] == "https://example.com/a.mp4"
        assert body["consent_video"] is None

    def test_gdown_url_can_be_switched_on(self, serve: Serve) -> None:
        """A setting adds the field that sometimes comes."""
        api = serve(behaviour=Behaviour(create_carries_gdown_url=True))
        url = "https://example.com/a.mp4"
        body = api.post(URLS, json={**ADA, "lipsync_input": url}).json()
        assert body["gdown_url"] == url

    def test_file_creates_can_take_urls(self, serve: Serve) -> None:
        """A setting lets ``personas_v2`` take the URL of a video."""
        api = serve(behaviour=Behaviour(file_create_accepts_urls=True))
        answer = api.post(FILES, json={**ADA, "lipsync_input": "https://example.com/a.mp4"})
        assert answer.json()["lipsync_input"] == "https://example.com/a.mp4"

    @pytest.mark.parametrize("many", ["255", "emoji"])
    def test_the_longest_values_fit(self, api: httpx.Client, many: str) -> None:
        """255 characters are taken, also when each has four bytes."""
        text = "🎬" * 255 if many == "emoji" else "x" * 255
        fields = dict.fromkeys(("creator_name", "video_scene", "keywords"), text)
        webhook = "https://example.com/".ljust(200, "x")
        for body in ({"json": fields}, {"data": fields}):
            (kind, values) = next(iter(body.items()))
            request: dict[str, Any] = {kind: {**ADA, **values, "webhook_url": webhook}}
            answer = api.post(FILES, **request)
            assert answer.status_code == 201, answer.text
            assert answer.json()["keywords"] == text


REFUSED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {n: ["This field is required."] for n in ("gender", "creator_name")}),
    (
        {"gender": None, "creator_name": None},
        {n: ["This field may not be null."] for n in ("gender", "creator_name")},
    ),
    ({**ADA, "gender": "x"}, {"gender": ['"x" is not a valid choice.']}),
    ({**ADA, "gender": ""}, {"gender": ['"" is not a valid choice.']}),
    ({**ADA, "gender": ["m"]}, {"gender": ["\"['m']\" is not a valid choice."]}),
    ({**ADA, "gender": "\ud800"}, {"gender": ['"?" is not a valid choice.']}),
    ({**ADA, "creator_name": " "}, {"creator_name": ["This field may not be blank."]}),
    ({**ADA, "creator_name": True}, {"creator_name": ["Not a valid string."]}),
    ({**ADA, "creator_name": ["x"]}, {"creator_name": ["Not a valid string."]}),
    ({**ADA, "creator_name": "a\0b"}, {"creator_name": ["Null characters are not allowed."]}),
    (
        {**ADA, "creator_name": "a\ud800"},
        {"creator_name": ["Surrogate characters are not allowed: U+D800."]},
    ),
    *(
        ({**ADA, name: "x" * 256}, {name: ["Ensure this field has no more than 255 characters."]})
        for name in ("creator_name", "video_scene", "keywords")
    ),
    ({**ADA, "webhook_url": "nowhere"}, {"webhook_url": ["Enter a valid URL."]}),
    ({**ADA, "webhook_url": {}}, {"webhook_url": ["Not a valid string."]}),
    (
        {**ADA, "webhook_url": "https://example.com/".ljust(201, "x")},
        {"webhook_url": ["Ensure this field has no more than 200 characters."]},
    ),
    (
        {**ADA, "webhook_url": "x" * 201},
        {
            "webhook_url": [
                "Ensure this field has no more than 200 characters.",
                "Enter a valid URL.",
            ]
        },
    ),
    ({**ADA, "labels": None}, {"labels": ["This field may not be null."]}),
    ({**ADA, "labels": "x"}, {"labels": ['Expected a list of items but got type "str".']}),
    (
        {**ADA, "labels": ["a", "", None, []]},
        {
            "labels": {
                "1": ["This field may not be blank."],
                "2": ["This field may not be null."],
                "3": ["Not a valid string."],
            }
        },
    ),
]


class TestRefusals:
    """Bad creates get the framework's messages, and leave nothing behind."""

    @pytest.mark.parametrize(("body", "errors"), REFUSED)
    def test_each_bad_field_has_its_message(
        self, shared: httpx.Client, body: dict[str, Any], errors: dict[str, Any]
    ) -> None:
        """400 with the messages by field, on both endpoints, and nothing is created."""
        before = shared.get(COUNT).json()
        for path in (FILES, URLS):
            content = json.dumps(body).encode()
            answer = shared.post(
                path, content=content, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code == 400
            assert answer.json() == errors
        assert shared.get(COUNT).json() == before

    @pytest.mark.parametrize("value", ["https://example.com/a.mp4", "text", 7])
    def test_a_file_cannot_be_text(self, shared: httpx.Client, value: Any) -> None:
        """``personas_v2`` takes files only, whatever the encoding."""
        message = ["The submitted data was not a file. Check the encoding type on the form."]
        for kind in ("json", "data"):
            answer = shared.post(FILES, **{kind: {**ADA, "lipsync_input": value}})
            assert (answer.status_code, answer.json()) == (400, {"lipsync_input": message})

    @pytest.mark.parametrize(
        ("value", "message"),
        [("a.mp4", "Enter a valid URL."), (7, "Not a valid string.")],
    )
    def test_a_url_has_to_be_one(self, shared: httpx.Client, value: Any, message: str) -> None:
        """``personas`` takes the URLs of videos only."""
        answer = shared.post(URLS, json={**ADA, "consent_video": value})
        assert (answer.status_code, answer.json()) == (400, {"consent_video": [message]})

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"{", "JSON parse error - Expecting property name enclosed in double quotes"),
            (b"\xff", "JSON parse error - 'utf-8' codec can't decode byte 0xff"),
            (b'{"gender": NaN}', "JSON parse error - Out of range float values"),
            (b"[" * 100_000, "JSON parse error - "),
        ],
    )
    def test_broken_json_is_said(self, shared: httpx.Client, content: bytes, said: str) -> None:
        """400 with what the parser found."""
        headers = {"Content-Type": "application/json"}
        answer = shared.post(FILES, content=content, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(said)

    def test_json_of_any_depth_is_refused_in_order(self) -> None:
        """What can be read but not written down again still gets its message."""
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises(ErrorResponse) as refused:
            validate(Body(json={**ADA, "gender": deep}), urls=False)
        assert refused.value.body == {"gender": ['"list" is not a valid choice.']}

    @pytest.mark.parametrize(("content", "kind"), [(b"[1]", "list"), (b'"x"', "str")])
    def test_json_has_to_be_an_object(
        self, shared: httpx.Client, content: bytes, kind: str
    ) -> None:
        """Anything else is refused as such."""
        headers = {"Content-Type": "application/json; charset=utf-8"}
        answer = shared.post(FILES, content=content, headers=headers)
        text = f"Invalid data. Expected a dictionary, but got {kind}."
        assert (answer.status_code, answer.json()) == (400, {"non_field_errors": [text]})

    def test_no_body_is_an_empty_one(self, shared: httpx.Client) -> None:
        """A POST without a body lacks its fields, whatever type it declares."""
        answer = shared.post(FILES, headers={"Content-Type": "text/plain"})
        assert (answer.status_code, set(answer.json())) == (400, {"gender", "creator_name"})

    @pytest.mark.parametrize(
        ("path", "declared"),
        [(FILES, "text/plain"), (FILES, ""), (URLS, "application/x-www-form-urlencoded")],
    )
    def test_another_encoding_is_not_supported(
        self, shared: httpx.Client, path: str, declared: str
    ) -> None:
        """415 that names what was declared."""
        answer = shared.post(path, content=b"x=1", headers={"Content-Type": declared})
        text = f'Unsupported media type "{declared}" in request.'
        assert (answer.status_code, answer.json()) == (415, {"detail": text})

    @pytest.mark.parametrize("kind", ["json", "data", "multipart"])
    def test_a_text_without_end_is_too_large(self, serve: Serve, kind: str) -> None:
        """413 beyond the limit for texts, in each encoding."""
        api = serve(behaviour=Behaviour(max_text_bytes=1000))
        body: dict[str, Any] = {**ADA, "keywords": "x" * 1000}
        sent: dict[str, Any] = {kind: body}
        if kind == "multipart":
            sent = {"data": body, "files": {"lipsync_input": b"x"}}
        assert api.post(FILES, **sent).status_code == 413
        assert api.get(COUNT).json()["current_count"] == 0

    def test_a_form_of_too_many_fields_is_too_large(self, shared: httpx.Client) -> None:
        """413 beyond a thousand fields, in both forms."""
        many = {f"f{number}": "1" for number in range(1001)}
        assert shared.post(FILES, data=many).status_code == 413
        assert shared.post(FILES, data=many, files={"x": b""}).status_code == 413

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        content=st.binary(max_size=200),
        declared=st.sampled_from(
            [
                "application/json",
                "application/x-www-form-urlencoded",
                "multipart/form-data; boundary=b",
                "multipart/form-data",
            ]
        ),
        prefix=st.sampled_from([b"", b"--b\r\n", b"--b\r\nContent-Disposition: form-data;"]),
    )
    def test_any_bytes_at_all_are_refused_in_order(
        self, shared: httpx.Client, content: bytes, declared: str, prefix: bytes
    ) -> None:
        """Whatever is sent, the answer is a 4xx in JSON."""
        answer = shared.post(FILES, content=prefix + content, headers={"Content-Type": declared})
        assert 400 <= answer.status_code < 500
        assert isinstance(answer.json(), dict)

    @pytest.mark.parametrize(
        ("url", "valid"),
        [
            ("https://example.com/hook", True),
            ("http://localhost:8501/x", True),
            ("http://127.0.0.1:1/", True),
            ("http://[::1]:80/", True),
            ("https://bücher.example/ä?x=1#y", True),
            ("https://a:b@example.com.", True),
            ("ftp://example.com", True),
            ("javascript:alert(1)", False),
            ("https://", False),
            ("https://example", False),
            ("https://exa mple.com", False),
            ("https://example.com:99999/", False),
            ("http://[::1", False),
            ("https://-a.com", False),
            ("https://example.com/\u200b", False),
            ("https://example.com/" + "x" * 2048, False),
            (f"https://{'a.' * 130}com/", False),
        ],
    )
    def test_urls_are_told_from_other_texts(self, url: str, valid: bool) -> None:
        """As Django's validator does."""
        assert is_valid_url(url) is valid


class TestReading:
    """GET by id, lists, the count and DELETE."""

    def test_get_has_the_documented_fields_alone(self, api: httpx.Client) -> None:
        """No labels, webhook_url or consent_video; null and false until it is done."""
        created = api.post(FILES, json={**ADA, "labels": ["x"]}).json()
        body = api.get(f"/api/personas/{created['id']}/").json()
        assert set(body) == SHOWN
        assert (body["is_active"], body["process_status"]) == (False, "pending")
        assert {name: body[name] for name in SHOWN & CREATED} == {
            name: created[name] for name in SHOWN & CREATED
        }

    @pytest.mark.parametrize("outcome", ["done", "failed", "rejected"])
    def test_a_life_is_lived_on_the_clock(
        self, api: httpx.Client, manual_clock: ManualClock, outcome: str
    ) -> None:
        """Hour by hour the status goes on, updated_at follows, and the label names the end."""
        created = api.post(FILES, json={**ADA, "labels": [f"sandbox:{outcome}"]}).json()
        statuses, updates = [], []
        for _ in range(121):
            body = api.get(f"/api/personas/{created['id']}/").json()
            persona = Persona.model_validate(body)
            assert persona.created_at is not None
            assert persona.updated_at is not None
            assert persona.created_at <= persona.updated_at <= manual_clock.now()
            assert persona.is_active == (persona.process_status == "done")
            ended_badly = persona.process_status in ("failed", "rejected")
            assert (persona.failed_reason is None) is not ended_badly
            if persona.process_status not in statuses:
                statuses.append(persona.process_status)
            updates.append(persona.updated_at)
            manual_clock.advance(timedelta(hours=1))
        assert statuses[0] == "pending"
        assert statuses[-1] == outcome
        assert len(set(updates)) == len(statuses)
        assert updates == sorted(updates)

    def test_an_unknown_id_is_not_found(self, shared: httpx.Client) -> None:
        """404 with a detail, by GET and DELETE."""
        for method in ("GET", "DELETE"):
            answer = shared.request(method, f"/api/personas/{uuid.uuid4()}/")
            assert answer.status_code == 404
            assert answer.json() == {"detail": "No Creator matches the given query."}

    def test_delete_makes_room(self, serve: Serve) -> None:
        """204 without a body, then it is gone, and another can be created."""
        api = serve(max_personas=1)
        created = api.post(FILES, json=ADA).json()
        answer = api.delete(f"/api/personas/{created['id']}/")
        assert (answer.status_code, answer.content) == (204, b"")
        assert api.get(f"/api/personas/{created['id']}/").status_code == 404
        assert api.get(FILES).json() == []
        assert api.post(FILES, json=ADA).status_code == 201

    def test_the_count_says_when_the_plan_is_full(self, serve: Serve) -> None:
        """``count/`` counts, and a create beyond the room is a 403 that makes nothing."""
        api = serve(max_personas=2)
        for _ in range(2):
            assert api.post(FILES, json=ADA).status_code == 201
        for path in (FILES, URLS):
            answer = api.post(path, json=ADA)
            assert (answer.status_code, set(answer.json())) == (403, {"detail"})
        assert Quota.model_validate(api.get(COUNT).json()) == Quota(max_count=2, current_count=2)

    def test_the_list_is_bare_and_newest_first(self, api: httpx.Client) -> None:
        """A JSON array of what GET by id shows, also of those created at the same moment."""
        ids = [api.post(FILES, json=ADA).json()["id"] for _ in range(3)]
        listed = api.get(FILES).json()
        assert [item["id"] for item in listed] == ids[::-1]
        assert listed[0] == api.get(f"/api/personas/{ids[2]}/").json()

    def test_the_list_can_be_filtered(self, api: httpx.Client, manual_clock: ManualClock) -> None:
        """Filters take values separated by commas; age, place and style are known once done."""
        for gender in ("m", "f", "nb"):
            labels = ["sandbox:done" if gender == "f" else "sandbox:failed"]
            api.post(FILES, json={"gender": gender, "creator_name": gender, "labels": labels})

        def names(**params: str) -> list[str]:
            return [item["creator_name"] for item in api.get(FILES, params=params).json()]

        assert names(gender="m,nb") == ["nb", "m"]
        assert names(gender="", x="y") == ["nb", "f", "m"]
        assert names(gender="?") == names(style="presenter") == []
        manual_clock.advance(timedelta(days=5))
        assert names(age_range="senior,adult", location="indoor", style="presenter") == ["f"]

    def test_the_list_comes_in_pages_too(self, serve: Serve) -> None:
        """Following next from the first page reads all, newest first; previous leads back."""
        api = serve(behaviour=Behaviour(page_size=2))
        ids = [api.post(FILES, json=ADA).json()["id"] for _ in range(5)]
        found, url, pages = [], f"{PAGES}?gender=f", []
        while url:
            page = api.get(url).json()
            assert set(page) == {"count", "next", "previous", "results"}
            assert page["count"] == 5
            found += [item["id"] for item in page["results"]]
            pages.append(page)
            url = page["next"]
        assert found == ids[::-1]
        assert [page["previous"] is None for page in pages] == [True, False, False]
        assert api.get(pages[2]["previous"]).json() == pages[1]
        assert api.get(pages[1]["previous"]).json() == pages[0]
        assert api.get(PAGES, params={"page": "last"}).json()["results"] == pages[2]["results"]

    @pytest.mark.parametrize("page", ["0", "2", "-1", "x", "", "9" * 5000, "\u0661"])
    def test_a_page_that_is_not_there_is_said(self, shared: httpx.Client, page: str) -> None:
        """404 with the framework's words; the first page is there even when it is empty."""
        answer = shared.get(PAGES, params={"page": page})
        assert (answer.status_code, answer.json()) == (404, {"detail": "Invalid page."})
        empty = {"count": 0, "next": None, "previous": None, "results": []}
        assert shared.get(PAGES).json() == empty

    def test_what_is_not_known_can_be_set(self, serve: Serve, manual_clock: ManualClock) -> None:
        """Settings hide process_status, hide the unfinished, and move the offset."""
        api = serve(
            behaviour=Behaviour(
                get_carries_process_status=False, list_shows_unfinished=False, utc_offset_h=5.5
            )
        )
        created = api.post(FILES, json={**ADA, "labels": ["sandbox:done"]}).json()
        assert created["created_at"].endswith("+05:30")
        body = api.get(f"/api/personas/{created['id']}/").json()
        assert set(body) == SHOWN - {"process_status"}
        assert api.get(FILES).json() == []
        manual_clock.advance(timedelta(days=5))
        assert [item["is_active"] for item in api.get(FILES).json()] == [True]

    @pytest.mark.parametrize(
        ("error_shape", "body"),
        [
            ("fields", {"gender": ['"x" is not a valid choice.'], "labels": {"1": [BLANK]}}),
            ("list", ['gender: "x" is not a valid choice.', f"labels: {BLANK}"]),
            ("detail", {"detail": 'gender: "x" is not a valid choice.'}),
        ],
    )
    def test_a_refusal_has_any_of_three_shapes(
        self, serve: Serve, error_shape: ErrorShape, body: Any
    ) -> None:
        """Each was seen somewhere; the client reads them all."""
        api = serve(behaviour=Behaviour(error_shape=error_shape))
        answer = api.post(FILES, json={**ADA, "gender": "x", "labels": ["a", ""]})
        assert (answer.status_code, answer.json()) == (400, body)
        keys = api.headers["X-API-ID"], api.headers["X-API-KEY"]
        request = PersonaCreate(creator_name="A", gender="f", webhook_url="https://nobody/x")
        with Client(str(api.base_url).rstrip("/"), *keys) as client:
            with pytest.raises(errors.InvalidRequest) as caught:
                client.create_persona(request)
            assert "Enter a valid URL." in caught.value.messages[0]

    def test_labels_of_a_form_may_be_one_field(self, serve: Serve) -> None:
        """How a form gives several is a guess; what counts otherwise is the last field."""
        api = serve(behaviour=Behaviour(form_labels="commas"))
        for labels, kept in ((["a,b"], ["a", "b"]), (["a", "b"], ["b"]), ([""], [])):
            made = api.post(FILES, data={**ADA, "labels": labels})
            assert (made.status_code, made.json()["labels"]) == (201, kept)

    def test_equal_creates_may_make_one(self, serve: Serve) -> None:
        """Whether they do is a guess; a create that differs in anything makes another."""
        api = serve(behaviour=Behaviour(equal_creates_make_two=False), max_personas=2)
        first, again = (api.post(FILES, json=ADA) for _ in range(2))
        assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
        assert api.post(FILES, json={**ADA, "keywords": "x"}).json()["id"] != first.json()["id"]
        assert api.get(f"{FILES}count/").json()["current_count"] == 2

    def test_is_active_may_disagree(self, serve: Serve, manual_clock: ManualClock) -> None:
        """What is done need not be active; lists show it all the same."""
        api = serve(behaviour=Behaviour(active_when_done=False, list_shows_unfinished=False))
        api.post(FILES, json={**ADA, "labels": ["sandbox:done"]})
        manual_clock.advance(timedelta(days=5))
        [item] = api.get(FILES).json()
        assert (item["process_status"], item["is_active"]) == ("done", False)


def test_an_error_of_its_own_is_a_page(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect of the sandbox is a 500 in HTML and a traceback in the log, as with Django."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(serializers, "serialize_created", broken)
    with Sandbox() as sandbox, client_of(sandbox) as api:
        answer = api.post(FILES, json=ADA)
    assert answer.status_code == 500
    assert answer.headers["content-type"].startswith("text/html")
    assert "a defect" in caplog.text


def test_the_control_route_tells_no_key(sandbox: Sandbox) -> None:
    """It needs no key, says which sandbox it is and what time it has, and shows no key."""
    before = sandbox.clock.now()
    answer = httpx.get(f"{sandbox.url}/_sandbox/", trust_env=False)
    assert set(answer.json()) == {"instance", "now", "personas"}
    assert datetime.fromisoformat(answer.json()["now"]) >= before
    assert sandbox.api_key not in answer.text
    assert SystemClock().now() < sandbox.clock.now()
