"""Faults on demand: what a bare client of the sandbox sees of each, over the socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit.errors import ConfigError
from avatarkit.sandbox import FAULTS, Sandbox, error_responses
from avatarkit.sandbox.faults.rules import CARRIED_OUT, NOT_CARRIED_OUT, Faults, Rule
from support.sandbox_client import ADA, COUNT, FILES, PAGES, URLS, call, client_of, stop

if TYPE_CHECKING:
    from support.manual_clock import ManualClock

CLOSED = [name for name in FAULTS if name.startswith("closed")]
LARGE = 4_000_000


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    """Yield a sandbox for all tests of this module; each heals it."""
    with Sandbox(max_personas=10_000) as sandbox:
        yield sandbox


@pytest.fixture
def faulty(shared: Sandbox) -> Iterator[Sandbox]:
    """Yield the sandbox without faults before and after."""
    shared.heal()
    yield shared
    shared.heal()


@pytest.fixture
def api(faulty: Sandbox) -> Iterator[httpx.Client]:
    """Yield a bare client of that sandbox."""
    with client_of(faulty) as client:
        yield client


def count(api: httpx.Client) -> int:
    """How many personas there are."""
    return int(api.get(COUNT).json()["current_count"])


def request(api: httpx.Client, method: str, path: str, large: bool = False) -> httpx.Response:
    """Return that call; a POST creates, with a large file if asked for."""
    if method != "POST":
        return api.request(method, path)
    if large:
        return api.post(path, data=ADA, files={"lipsync_input": ("a.mp4", b"x" * LARGE)})
    return api.post(path, json=ADA)


class TestEachFault:
    """What goes over the line."""

    @pytest.mark.parametrize(
        ("fault", "status", "page"),
        [("500-html", 500, True), ("502", 502, True), ("503", 503, True), ("504-made", 504, True)],
    )
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_errors_come_with_a_page(
        self, api: httpx.Client, faulty: Sandbox, fault: str, status: int, page: bool, method: str
    ) -> None:
        """The status, and HTML instead of JSON."""
        faulty.fail_next(fault)
        answer = request(api, method, FILES)
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("text/html")
        assert "<html" in answer.text

    @pytest.mark.parametrize("wait_s", [0, 1, 90])
    def test_too_many_calls_say_when_to_come_back(
        self,
        api: httpx.Client,
        faulty: Sandbox,
        wait_s: int,
        manual_clock: ManualClock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """429 in the framework's words, with Retry-After in seconds, as a date, and without."""
        faulty.fail_next("429-seconds", retry_after_s=wait_s)
        seconds = api.get(COUNT)
        assert seconds.status_code == 429
        assert seconds.headers["retry-after"] == str(wait_s)
        assert seconds.json()["detail"].startswith("Request was throttled. Expected available in")
        monkeypatch.setattr(error_responses, "SystemClock", lambda: manual_clock)
        faulty.fail_next("429-date", retry_after_s=wait_s)
        dated = api.get(COUNT)
        at = parsedate_to_datetime(dated.headers["retry-after"])
        assert at - manual_clock.now() == timedelta(seconds=wait_s + 1)
        assert dated.headers["retry-after"].endswith("GMT")
        faulty.fail_next("429")
        bare = api.get(COUNT)
        assert (bare.status_code, "retry-after" in bare.headers) == (429, False)

    def test_a_redirect_leads_to_the_same_address(self, api: httpx.Client, faulty: Sandbox) -> None:
        """Whoever follows it turns the POST into a GET and gets the list."""
        faulty.fail_next("301")
        answer = request(api, "POST", FILES)
        assert (answer.status_code, answer.headers["location"]) == (301, FILES)
        faulty.fail_next("301")
        followed = api.post(FILES, json=ADA, follow_redirects=True)
        assert (followed.request.method, isinstance(followed.json(), list)) == ("GET", True)
        faulty.fail_next("301")
        assert api.get(PAGES, params={"page": "1"}).headers["location"] == f"{PAGES}?page=1"

    @pytest.mark.parametrize("fault", CLOSED)
    @pytest.mark.parametrize("large", [False, True])
    def test_closed_connections_are_errors_of_the_transport(
        self, api: httpx.Client, faulty: Sandbox, fault: str, large: bool
    ) -> None:
        """No answer arrives, or only a part of it, whatever the size of the body."""
        faulty.fail_next(fault)
        with pytest.raises(httpx.TransportError) as failed:
            request(api, "POST", FILES, large)
        assert not isinstance(failed.value, httpx.TimeoutException)

    @pytest.mark.parametrize(
        ("fault", "sent", "got"),
        [
            ("closed-before", 0, None),
            ("closed-during", 600, None),
            ("closed-after", 1000, b""),
            ("closed-after-made", 1000, b""),
            ("closed-in-answer", 1000, b"HTTP/1.1 4"),
        ],
    )
    def test_connections_are_reset_and_ended_in_order(
        self, faulty: Sandbox, fault: str, sent: int, got: bytes | None
    ) -> None:
        """Before and in the middle of the body comes a reset, after it an orderly end."""
        faulty.fail_next(fault)
        head = (
            f"POST {FILES} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            "Content-Length: 1000\r\n\r\n"
        )
        host, port = faulty.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as line:
            line.sendall(head.encode() + b" " * sent)
            if got is None:
                with pytest.raises(ConnectionResetError):
                    line.recv(100)
            else:
                assert line.recv(10) == got

    def test_half_of_an_answer_arrives(self, api: httpx.Client, faulty: Sandbox) -> None:
        """Status, headers and a part of the body come before the end."""
        faulty.fail_next("closed-in-answer")
        with api.stream("GET", COUNT) as answer:
            promised = int(answer.headers["content-length"])
            pieces = answer.iter_raw()
            assert 0 < len(next(pieces)) < promised
            with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
                next(pieces)

    @pytest.mark.parametrize("fault", CLOSED)
    def test_reading_calls_are_closed_too(
        self, api: httpx.Client, faulty: Sandbox, fault: str
    ) -> None:
        """A GET without a body meets the same faults; the next call finds all in order."""
        faulty.fail_next(fault)
        with pytest.raises(httpx.TransportError):
            api.get(COUNT)
        assert count(api) >= 0

    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    def test_an_endless_answer_drips(self, api: httpx.Client, faulty: Sandbox, method: str) -> None:
        """A success begins and goes on in small pieces, none of which ends it."""
        path = FILES
        if method == "DELETE":
            path = f"/api/personas/{api.post(FILES, json=ADA).json()['id']}/"
        faulty.fail_next("endless", method=method)
        body = {"json": ADA} if method == "POST" else {}
        with api.stream(method, path, **body) as answer:
            assert answer.status_code == (201 if method == "POST" else 200)
            assert "content-length" not in answer.headers
            pieces = answer.iter_raw()
            assert [next(pieces).strip() for _ in range(4)] == [b""] * 4

    def test_an_endless_answer_does_not_keep_the_sandbox(self) -> None:
        """Stop is quick while somebody waits for the end."""
        with Sandbox() as sandbox, client_of(sandbox) as client:
            sandbox.fail_next("endless")
            with client.stream("GET", COUNT) as answer:
                pieces = answer.iter_raw()
                next(pieces)
                stop(sandbox)

    @pytest.mark.parametrize("path", [FILES, COUNT, PAGES])
    def test_broken_json_breaks_off(self, api: httpx.Client, faulty: Sandbox, path: str) -> None:
        """A success of the right type and length whose JSON has no end."""
        faulty.fail_next("broken-json")
        answer = api.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        with pytest.raises(json.JSONDecodeError):
            answer.json()

    def test_json_has_another_shape(self, api: httpx.Client, faulty: Sandbox) -> None:
        """An object comes in a list, and a list in an object."""
        faulty.fail_next("other-json", calls=3)
        created = api.post(FILES, json=ADA)
        assert (created.status_code, [set(each) >= {"id"} for each in created.json()]) == (201, [1])
        assert set(api.get(FILES).json()) == {"success", "data"}
        assert isinstance(api.get(COUNT).json(), list)

    def test_a_wrong_content_type_is_all_that_is_wrong(
        self, api: httpx.Client, faulty: Sandbox
    ) -> None:
        """The JSON is right and called HTML."""
        right = api.get(FILES).json()
        faulty.fail_next("wrong-content-type")
        answer = api.get(FILES)
        # Of an avatar that other tests have made, the status may have changed in between.
        assert [persona["id"] for persona in answer.json()] == [p["id"] for p in right]
        assert answer.headers["content-type"] == "text/html; charset=utf-8"

    @pytest.mark.parametrize("fault", FAULTS)
    @pytest.mark.parametrize("large", [False, True])
    def test_a_create_is_made_only_where_the_fault_says_so(
        self, api: httpx.Client, faulty: Sandbox, fault: str, large: bool
    ) -> None:
        """Faults of the answer alone leave a persona, the others none."""
        before = count(api)
        faulty.fail_next(fault, method="POST")
        with suppress(httpx.TransportError):
            if fault == "endless":
                with api.stream("POST", FILES, json=ADA):
                    pass
            else:
                request(api, "POST", FILES, large)
        assert count(api) - before == (fault in CARRIED_OUT)

    @pytest.mark.parametrize("fault", CARRIED_OUT)
    def test_a_delete_is_carried_out_too(
        self, api: httpx.Client, faulty: Sandbox, fault: str
    ) -> None:
        """An answer without a body can be spoiled as well; the persona is gone."""
        path = f"/api/personas/{api.post(FILES, json=ADA).json()['id']}/"
        faulty.fail_next(fault)
        with suppress(httpx.TransportError), api.stream("DELETE", path) as answer:
            if fault != "endless":
                assert answer.read() is not None
        assert api.get(path).status_code == 404

    def test_an_upload_without_a_length_can_be_cut_too(
        self, api: httpx.Client, faulty: Sandbox
    ) -> None:
        """A body that comes in chunks is cut after the first of them."""
        faulty.fail_next("closed-during")

        def chunks() -> Iterator[bytes]:
            for _ in range(100):
                yield b"x" * 65_536

        with pytest.raises(httpx.TransportError):
            api.post(FILES, content=chunks(), headers={"Content-Type": "application/json"})


class TestRules:
    """Which calls meet a fault."""

    def test_the_names_are_told(self) -> None:
        """Each fault has one name and is either carried out or not."""
        assert len(set(FAULTS)) == len(FAULTS) == len(CARRIED_OUT) + len(NOT_CARRIED_OUT)

    def test_only_so_many_calls_fail(self, api: httpx.Client, faulty: Sandbox) -> None:
        """After the number that was asked for everything is in order, and the rule is gone."""
        faulty.fail_next("503", calls=2)
        assert faulty.faults()[0]["calls"] == 2
        statuses = [api.get(COUNT).status_code for _ in range(4)]
        assert statuses == [503, 503, 200, 200]
        assert faulty.faults() == []

    def test_only_calls_of_that_method_and_path_fail(
        self, api: httpx.Client, faulty: Sandbox
    ) -> None:
        """Others neither fail nor count; a star stands for anything."""
        faulty.fail_next("503", method="post", path=URLS)
        faulty.fail_next("502", path="/api/personas/*")
        assert api.get(COUNT).status_code == 200
        assert api.post(FILES, json=ADA).status_code == 201
        assert api.get(f"{URLS}unknown/").status_code == 502
        assert api.post(URLS, json=ADA).status_code == 503

    def test_of_several_rules_the_first_is_met_first(
        self, api: httpx.Client, faulty: Sandbox
    ) -> None:
        """They are used up in the order in which they were set."""
        for fault in ("502", "503", "500-html"):
            faulty.fail_next(fault)
        assert [api.get(COUNT).status_code for _ in range(4)] == [502, 503, 500, 200]

    def test_a_share_of_calls_fails_until_it_is_healed(
        self, api: httpx.Client, faulty: Sandbox
    ) -> None:
        """About as many as were asked for, and none afterwards."""
        faulty.fail_share("503", 0.5, method="GET")
        failed = sum(api.get(COUNT).status_code == 503 for _ in range(100))
        assert 30 <= failed <= 70
        faulty.heal()
        assert all(api.get(COUNT).status_code == 200 for _ in range(20))

    def test_only_the_api_fails(self, api: httpx.Client, faulty: Sandbox) -> None:
        """Control routes and media stay in order, also while everything fails."""
        faulty.fail_share("503", 1)
        assert api.get("/_sandbox/").status_code == 200
        assert api.get("/media/x/y").status_code == 404
        assert api.get("/api/personas_v2/count").status_code == 503

    def test_faults_can_be_set_before_the_start(self) -> None:
        """The rules belong to the sandbox, running or not."""
        sandbox = Sandbox()
        sandbox.fail_next("503")
        with sandbox:
            assert call(sandbox, "GET", COUNT).status_code == 503

    @pytest.mark.parametrize(
        ("rule", "message"),
        [
            ({"fault": "404"}, "There is no fault '404'; choose one of 429, "),
            ({"fault": None}, "There is no fault None"),
            ({"calls": 0}, "calls must be a whole number of 1 or more"),
            ({"calls": True}, "calls must be a whole number"),
            ({"calls": "2"}, "calls must be a whole number"),
            ({"calls": None}, "Give either calls"),
            ({"share": 0.5}, "Give either calls"),
            ({"calls": None, "share": 0}, "share must be above 0"),
            ({"calls": None, "share": 1.01}, "share must be above 0"),
            ({"calls": None, "share": float("nan")}, "share must be above 0"),
            ({"calls": None, "share": "1"}, "share must be above 0"),
            ({"method": ""}, "method must be a text such as POST"),
            ({"path": 7}, "path must be a text such as /api/"),
            ({"retry_after_s": -1}, "retry_after_s must be a whole number"),
            ({"retry_after_s": 0.5}, "retry_after_s must be a whole number"),
        ],
    )
    def test_what_is_no_rule_is_said(self, rule: dict[str, Any], message: str) -> None:
        """One sentence, and nothing is in force."""
        faults = Faults()
        with pytest.raises(ConfigError) as refused:
            faults.add(Rule(**{"fault": "503", "calls": 1, **rule}))
        assert str(refused.value).startswith(message)
        assert faults.rules() == []

    @given(st.lists(st.integers(1, 5), max_size=6), st.integers(0, 40))
    def test_as_many_calls_fail_as_were_asked_for(self, wanted: list[int], calls: int) -> None:
        """However many rules there are, no more and no fewer calls meet one."""
        faults = Faults()
        for number in wanted:
            faults.add(Rule("503", calls=number))
        met = sum(faults.match("GET", COUNT) is not None for _ in range(calls))
        assert met == min(calls, sum(wanted))
        assert sum(rule["calls"] for rule in faults.rules()) == max(0, sum(wanted) - calls)
