"""Creates over a real socket: what is taken, and what is refused in Django's words."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avatarkit.models import Persona
from avatarkit.sandbox import Behaviour
from avatarkit.sandbox.error_responses import ErrorResponse
from avatarkit.sandbox.web.request_body import Body
from avatarkit.sandbox.web.validation import is_valid_url, validate
from support.sandbox_client import ADA, COUNT, FILES, URLS

BLANK = "This field may not be blank."

Serve = Callable[..., httpx.Client]


class TestCreate:
    """``POST /api/personas_v2/`` and ``POST /api/personas/``."""

    def test_the_answer_has_the_fields_of_the_contract(self, api: httpx.Client) -> None:
        """201 with every field of the contract, pending, with timestamps of the vendor's form."""
        answer = api.post(FILES, json=ADA)
        assert answer.status_code == 201
        body = answer.json()
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

    @pytest.mark.parametrize("value", ["", "   "])
    def test_optional_texts_may_not_be_blank(self, serve: Serve, value: str) -> None:
        """A blank one is refused, as by the framework, unless a setting takes it; null is taken."""
        names = ("video_scene", "keywords", "webhook_url")
        strict, lax = serve(), serve(behaviour=Behaviour(accepts_blank=True))
        refused = strict.post(FILES, json={**ADA, **dict.fromkeys(names, value)})
        assert (refused.status_code, refused.json()) == (400, {name: [BLANK] for name in names})
        nothing = strict.post(FILES, json={**ADA, **dict.fromkeys(names)}).json()
        assert {nothing[name] for name in names} == {None}
        taken = lax.post(FILES, json={**ADA, **dict.fromkeys(names, value)}).json()
        assert {taken[name] for name in names} == {""}

    def test_videos_as_urls_keep_their_address(self, api: httpx.Client) -> None:
        """``POST /api/personas/`` answers with the URLs that were given."""
        videos = {"lipsync_input": "https://example.com/a.mp4", "consent_video": None}
        body = api.post(URLS, json={**ADA, **videos}).json()
        assert body["lipsync_input"] == body["lipsync_input_url"] == "https://example.com/a.mp4"
        assert body["consent_video"] is None

    def test_gdown_url_can_be_switched_on(self, serve: Serve) -> None:
        """A setting adds the field that sometimes comes."""
        api = serve(behaviour=Behaviour(create_carries_gdown_url=True))
        assert api.post(URLS, json=ADA).json()["gdown_url"] is None

    def test_gdown_url_comes_back(self, api: httpx.Client) -> None:
        """A link of Google Drive is accepted by both creates, and answered."""
        link = "https://drive.google.com/file/d/1/view"
        for path in (URLS, FILES):
            assert api.post(path, json={**ADA, "gdown_url": link}).json()["gdown_url"] == link

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
    ({**ADA, "webhook_url": {}}, {"webhook_url": ["Enter a valid URL."]}),
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
        [("a.mp4", "Enter a valid URL."), (["x"], "Enter a valid URL."), ("", BLANK)],
    )
    def test_a_url_has_to_be_one(self, shared: httpx.Client, value: Any, message: str) -> None:
        """``personas`` takes the URLs of videos only."""
        answer = shared.post(URLS, json={**ADA, "consent_video": value})
        assert (answer.status_code, answer.json()) == (400, {"consent_video": [message]})

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"{", "JSON parse error - Expecting property name enclosed in double quotes"),
            (b"\xff", "JSON parse error - 'utf-8' codec can't decode byte 0xff"),
            (b'{"gender": NaN}', "JSON parse error - Out of range float values"),
            (b"[" * 100_000, "JSON parse error - "),
        ],
    )
    def test_broken_json_is_said(self, shared: httpx.Client, content: bytes, message: str) -> None:
        """400 with what the parser found."""
        headers = {"Content-Type": "application/json"}
        answer = shared.post(FILES, content=content, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(message)

    def test_json_of_any_depth_is_refused_in_order(self) -> None:
        """What can be read but not written down again still gets its message."""
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises(ErrorResponse) as refused:
            validate(Body(json={**ADA, "gender": deep}), Behaviour(), urls=False)
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
            ("https://example.com:99999/", True),
            ("https://example.com:123456/", False),
            ("https://example.com:/", False),
            ("https://example.c", False),
            ("https://1.2.3.256/", False),
            ("http://[::1", False),
            ("https://-a.com", False),
            ("https://example.com/" + "x" * 2048, False),
            (f"https://{'a.' * 130}com/", False),
        ],
    )
    def test_urls_are_told_from_other_texts(self, url: str, valid: bool) -> None:
        """As Django's validator does."""
        assert is_valid_url(url) is valid
