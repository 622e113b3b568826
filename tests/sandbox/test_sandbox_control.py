"""The control routes, the rate limit, and who may use them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from avatarkit.errors import ConfigError
from avatarkit.sandbox import FAULTS, Behaviour, Sandbox, error_responses
from avatarkit.sandbox.web.rate_limit import RateLimiter
from support.sandbox_client import ADA, COUNT, FILES, client_of

if TYPE_CHECKING:
    from support.manual_clock import ManualClock

ADVANCE, FAIL, DELIVERIES = "/_sandbox/advance/", "/_sandbox/faults/", "/_sandbox/deliveries/"
HISTORY = "/_sandbox/history/"
CALLS = [
    ("POST", ADVANCE),
    ("GET", FAIL),
    ("POST", FAIL),
    ("DELETE", FAIL),
    ("GET", DELIVERIES),
    ("GET", HISTORY),
]


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    """Yield a sandbox for tests that leave it as it was."""
    with Sandbox(speed=1) as sandbox:
        yield sandbox


@pytest.fixture
def api(shared: Sandbox) -> Iterator[httpx.Client]:
    """Yield a bare client of that sandbox."""
    with client_of(shared) as client:
        yield client


class TestGuard:
    """Only this machine, only with the keys, and no web page of somebody else's."""

    @pytest.mark.parametrize(("method", "path"), CALLS)
    def test_the_keys_are_asked_for(self, shared: Sandbox, method: str, path: str) -> None:
        """Without them, or with wrong ones, it is the 401 of the API, and nothing happens."""
        for headers in ({}, {"X-API-ID": shared.api_id, "X-API-KEY": "wrong"}):
            url, body = shared.url + path, {"days": 1, "fault": "503"}
            answer = httpx.request(method, url, headers=headers, trust_env=False)
            assert answer.status_code == 401
            assert httpx.post(url, json=body, headers=headers, trust_env=False).status_code == 401
        assert shared.faults() == []

    @pytest.mark.parametrize(("method", "path"), [*CALLS, ("GET", "/_sandbox/")])
    @pytest.mark.parametrize(
        "headers",
        [
            {"Host": "evil.example"},
            {"Host": "evil.example:80"},
            {"Host": "192.0.2.1"},
            {"Host": "["},
            {"Host": ""},
            {"Origin": "https://evil.example"},
            {"Origin": "http://192.0.2.1:8501"},
            {"Origin": "null"},
            {"Origin": "http://[::1"},
        ],
    )
    def test_web_pages_of_others_find_nothing(
        self, api: httpx.Client, method: str, path: str, headers: dict[str, str]
    ) -> None:
        """A foreign Host or Origin gets the page for what is not there, even with the keys."""
        answer = api.request(method, path, headers=headers)
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("text/html")

    @pytest.mark.parametrize(
        "headers",
        [
            {"Host": "localhost:8000"},
            {"Host": "127.0.0.2"},
            {"Host": "[::1]:80"},
            {"Origin": "http://localhost:8501"},
            {"Origin": "http://127.0.0.1:8501"},
        ],
    )
    def test_pages_of_this_machine_are_let_in(
        self, api: httpx.Client, headers: dict[str, str]
    ) -> None:
        """Loopback by any of its names is this machine."""
        assert api.get(FAIL, headers=headers).status_code == 200

    def test_another_method_is_not_allowed(self, api: httpx.Client) -> None:
        """405, as everywhere."""
        assert api.put(FAIL).status_code == 405
        assert api.delete(ADVANCE).status_code == 405


class TestAdvance:
    """Moves through time."""

    def test_it_moves_as_from_python(self, shared: Sandbox, api: httpx.Client) -> None:
        """The clock jumps by what was asked for, and the answer says where it is."""
        before = shared.clock.now()
        answer = api.post(ADVANCE, json={"days": 2, "hours": 1.5, "minutes": 1, "seconds": 1})
        assert answer.status_code == 200
        now = datetime.fromisoformat(answer.json()["now"])
        jump = timedelta(days=2, hours=1.5, minutes=1, seconds=1)
        assert jump <= now - before < jump + timedelta(minutes=30)
        assert shared.clock.now() >= now

    def test_a_persona_moves_along(self, shared: Sandbox, api: httpx.Client) -> None:
        """Five days later it is done."""
        created = api.post(FILES, json={**ADA, "labels": ["sandbox:done"]}).json()
        api.post(ADVANCE, json={"days": 5})
        shown = api.get(f"/api/personas/{created['id']}/").json()
        assert shown["process_status"] == "done"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b'{"days": -1}', "A clock cannot be set back"),
            (b'{"days": 1e300}', "The clock can be advanced by at most ten years"),
            (b'{"days": -1e300}', "A clock cannot be set back"),
            (b'{"days": NaN}', "The clock can be advanced by at most ten years"),
            (b'{"days": "2"}', "Give numbers for days, hours, minutes, seconds."),
            (b'{"days": true}', "Give numbers"),
            (b'{"weeks": 1}', "There is no field 'weeks'; there are days, hours"),
            (b"[1]", "The body has to be a JSON object."),
            (b"{", "The body has to be a JSON object."),
            (b"", "The body has to be a JSON object."),
            (b"\xff", "The body has to be a JSON object."),
            (b"[" * 60_000, "The body has to be a JSON object."),
        ],
    )
    def test_what_is_no_step_is_said(
        self, shared: Sandbox, api: httpx.Client, content: bytes, message: str
    ) -> None:
        """400 with one sentence, and the clock stays where it is."""
        before = shared.clock.now()
        answer = api.post(ADVANCE, content=content)
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(message)
        assert shared.clock.now() - before < timedelta(minutes=30)

    def test_a_body_without_end_is_too_large(self, api: httpx.Client) -> None:
        """413 beyond what a step can need."""
        assert api.post(ADVANCE, content=b" " * 70_000).status_code == 413

    def test_a_given_clock_is_left_alone(self, manual_clock: ManualClock) -> None:
        """The same refusal as from Python."""
        with Sandbox(clock=manual_clock) as sandbox, client_of(sandbox) as api:
            answer = api.post(ADVANCE, json={"days": 1})
        assert (answer.status_code, "cannot be advanced" in answer.text) == (400, True)

    @pytest.mark.parametrize("days", [4000, float("nan"), float("inf")])
    def test_a_jump_too_far_is_refused(self, days: float) -> None:
        """Also from Python, in one sentence."""
        with Sandbox() as sandbox, pytest.raises(ConfigError, match="at most ten years"):
            sandbox.advance(days=days)


class TestFaults:
    """The same rules as from Python."""

    @pytest.mark.parametrize("fault", FAULTS)
    def test_every_fault_can_be_set_and_taken_back(
        self, shared: Sandbox, api: httpx.Client, fault: str
    ) -> None:
        """POST adds a rule for the next call, GET lists it, DELETE heals."""
        answer = api.post(FAIL, json={"fault": fault})
        assert answer.status_code == 201
        rule = {"fault": fault, "method": None, "path": None, "calls": 1, "share": None}
        assert answer.json() == api.get(FAIL).json() == [{**rule, "retry_after_s": 1}]
        assert shared.faults() == answer.json()
        assert api.delete(FAIL).status_code == 204
        assert api.get(FAIL).json() == []

    def test_all_of_a_rule_can_be_said(self, api: httpx.Client) -> None:
        """Share, method, path and the seconds of Retry-After arrive and count."""
        rule = {"fault": "429-seconds", "share": 1, "method": "get", "path": COUNT}
        api.post(FAIL, json={**rule, "retry_after_s": 7})
        answer = api.get(COUNT)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
        assert api.get(FILES).status_code == 200
        api.delete(FAIL)
        assert api.get(COUNT).status_code == 200

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({}, "There is no fault None"),
            ({"fault": "nonsense"}, "There is no fault 'nonsense'; choose one of"),
            ({"fault": "503", "calls": 0}, "calls must be"),
            ({"fault": "503", "calls": 1, "share": 0.5}, "Give either calls"),
            ({"fault": "503", "share": 2}, "share must be"),
            ({"fault": ["503"]}, "There is no fault ['503']"),
            ({"fault": "503", "times": 1}, "There is no field 'times'"),
        ],
    )
    def test_what_is_no_rule_is_said(
        self, api: httpx.Client, body: dict[str, Any], message: str
    ) -> None:
        """400 with one sentence, and nothing is in force."""
        answer = api.post(FAIL, content=json.dumps(body))
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(message)
        assert api.get(FAIL).json() == []


class TestRateLimiter:
    """The rate limit, which is a setting and off by default."""

    def test_by_default_nothing_is_throttled(self, api: httpx.Client) -> None:
        """Many calls at once are all answered."""
        assert {api.get(COUNT).status_code for _ in range(50)} == {200}

    @pytest.mark.parametrize("form", ["seconds", "date", "none"])
    def test_beyond_the_burst_calls_get_a_429(
        self, form: Any, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Retry-After comes in the form that was set; calls without keys do not count."""
        monkeypatch.setattr(error_responses, "SystemClock", lambda: manual_clock)
        behaviour = Behaviour(calls_per_s=1e-5, burst=3, retry_after=form)
        with Sandbox(behaviour=behaviour) as sandbox, client_of(sandbox) as api:
            for _ in range(10):
                bare = httpx.get(sandbox.url + COUNT, trust_env=False)
                assert bare.status_code == 401
            statuses = [api.get(COUNT).status_code for _ in range(4)]
            answer = api.get(COUNT)
        assert statuses == [200, 200, 200, 429]
        assert answer.json()["detail"].startswith("Request was throttled. Expected available in ")
        wait = answer.headers.get("retry-after")
        if form == "date":
            wait = (parsedate_to_datetime(wait) - manual_clock.now()).total_seconds()
        assert wait is None if form == "none" else 9e4 < float(wait) <= 1e5 + 1

    def test_tokens_come_back_with_time(self) -> None:
        """After the stated wait a call is let through, and never more than the burst."""
        wall = [0.0]
        limiter = RateLimiter(2.0, 3, lambda: wall[0])
        assert [limiter.wait_s() for _ in range(4)] == [0, 0, 0, 0.5]
        wall[0] = 0.25
        assert limiter.wait_s() == 0.25
        wall[0] = 0.5
        assert (limiter.wait_s(), limiter.wait_s()) == (0, 0.5)
        wall[0] = 1000
        assert [limiter.wait_s() == 0 for _ in range(4)] == [True, True, True, False]


class TestHistory:
    def test_it_has_each_status_and_when_it_began(
        self, served: Sandbox, manual_clock: ManualClock
    ) -> None:
        """Of each persona, as Get-by-ID showed it; nothing of the future."""
        with client_of(served) as api:
            created = api.post("/api/personas_v2/", json=ADA).json()
            shown = [created["process_status"]]
            for _ in range(6 * 24):
                manual_clock.advance(timedelta(hours=1))
                shown.append(api.get(f"/api/personas/{created['id']}/").json()["process_status"])
                (history,) = api.get(HISTORY).json()
                assert history["id"] == created["id"]
                assert history["statuses"][-1]["status"] == shown[-1]
                begun = [datetime.fromisoformat(each["since"]) for each in history["statuses"]]
                assert begun == sorted(set(begun))
                assert begun[-1] <= manual_clock.now()
        names = [each["status"] for each in history["statuses"]]
        assert set(shown) <= set(names)
        assert names[0] == "pending"
        assert names[-1] in ("done", "failed", "rejected")


class TestDate:
    def test_it_is_that_of_the_sandboxs_clock(
        self, served: Sandbox, manual_clock: ManualClock
    ) -> None:
        """Every answer has one Date, of the clock of all its other times."""
        manual_clock.advance(timedelta(days=400))
        with client_of(served) as api:
            for path in ("/api/personas_v2/", "/nowhere/", "/_sandbox/"):
                dates = api.get(path).headers.get_list("date")
                assert [parsedate_to_datetime(date) for date in dates] == [
                    manual_clock.now().replace(microsecond=0)
                ]
