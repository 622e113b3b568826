"""The calls of the sandbox over a real socket, against the contract and Django's habits."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from avatarkit import Client, PersonaCreate, errors
from avatarkit.clock import SystemClock
from avatarkit.models import Persona, Quota
from avatarkit.sandbox import Behaviour, Sandbox
from avatarkit.sandbox.behaviour import ErrorShape
from avatarkit.sandbox.personas import serializers
from avatarkit.sandbox.web.control import OPENAPI
from support.sandbox_client import ADA, COUNT, FILES, PAGES, URLS, client_of

if TYPE_CHECKING:
    from support.manual_clock import ManualClock

BLANK = "This field may not be blank."

DOCUMENT = json.loads(OPENAPI.read_text("utf-8"))
# Source: the vendor's page of "Get avatar by ID".
SHOWN = set(DOCUMENT["components"]["schemas"]["Persona"]["properties"])

Serve = Callable[..., httpx.Client]


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
        """The keys are checked before the method."""
        answer = httpx.request(method, f"{shared.base_url}{path}", trust_env=False)
        assert answer.status_code == 401


class TestPaths:
    """What Django answers around the API."""

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("PUT", FILES, "GET, POST, HEAD"),
            ("PUT", URLS, "GET, POST, HEAD"),
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


class TestReading:
    """GET by id, lists, the count and DELETE."""

    def test_get_has_the_documented_fields_alone(self, api: httpx.Client) -> None:
        """No labels, webhook_url or consent_video; null and false until it is done."""
        created = api.post(FILES, json={**ADA, "labels": ["x"]}).json()
        body = api.get(f"/api/personas/{created['id']}/").json()
        assert set(body) == SHOWN
        assert (body["is_active"], body["process_status"]) == (False, "pending")
        assert body.items() >= {(name, created[name]) for name in SHOWN & set(created)}

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

    def test_what_may_be_used_is_listed(self, api: httpx.Client, manual_clock: ManualClock) -> None:
        """``GET /api/personas/`` has what is done and the stock avatars, each found by its id."""
        made = [
            api.post(FILES, json={**ADA, "labels": [f"sandbox:{end}"]}).json()["id"]
            for end in ("done", "failed")
        ]
        stock = api.get(URLS).json()
        assert len(stock) >= 2
        manual_clock.advance(timedelta(days=5))
        listed = api.get(URLS).json()
        assert [item["id"] for item in listed] == [made[0], *(item["id"] for item in stock)]
        assert [item["type"] for item in listed] == ["custom", *(["stock"] * len(stock))]
        for item in listed:
            assert item["is_active"]
            assert api.get(f"{URLS}{item['id']}/").json() == item
        assert api.delete(f"{URLS}{stock[0]['id']}/").status_code == 404
        assert api.get(COUNT).json()["current_count"] == len(api.get(FILES).json()) == 2
        assert {item["gender"] for item in api.get(URLS, params={"gender": "m"}).json()} == {"m"}

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
