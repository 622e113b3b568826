"""A wrong key, a dead host or a full plan is said before, or instead of, an upload for nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from avatarkit import Client, PersonaCreate, Store, Tracker, errors
from support.manual_clock import ManualClock

ADA = PersonaCreate(creator_name="Ada", gender="f")
QUOTA = httpx.Response(200, json={"max_count": 3, "current_count": 0})
FULL = httpx.Response(200, json={"max_count": 3, "current_count": 3})
WRONG_KEY = httpx.Response(401, json={"detail": "Invalid API ID or API key."})
FIREWALL = httpx.Response(403, html="<title>Just a moment...</title>")
CREATED = httpx.Response(201, json={"id": "p1", "process_status": "pending"})


class API:
    """Answers to the quota, to creates and to gets; ``calls`` lists the calls of each kind."""

    def __init__(self) -> None:
        self.answers: dict[str, httpx.Response | Exception] = {
            "quota": QUOTA,
            "create": CREATED,
            "get": httpx.Response(200, json={"id": "p1", "process_status": "reviewing"}),
        }
        self.calls: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        kind = "create" if request.method == "POST" else "get"
        if request.url.path.endswith("/count/"):
            kind = "quota"
        self.calls.append(kind)
        answer = self.answers[kind]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


@pytest.fixture
def api() -> API:
    return API()


@pytest.fixture
def tracker(api: API, manual_clock: ManualClock, tmp_path: Path) -> Iterator[Tracker]:
    transport = httpx.MockTransport(api)
    with (
        Client("https://a.example", "i", "k", transport=transport, tries=1) as client,
        Store(f"sqlite:///{tmp_path / 'log.db'}") as store,
    ):
        yield Tracker(client, store, clock=manual_clock)


def run_for(tracker: Tracker, clock: ManualClock, seconds: float) -> list[str]:
    """Run the tracker for this long on its clock; return the errors that it reports."""
    stop, end_s, reported = threading.Event(), clock.monotonic() + seconds, []
    sleep = clock.sleep

    def sleep_until_end(pause_s: float, until: threading.Event | None = None) -> None:
        sleep(pause_s, until)
        if clock.monotonic() >= end_s:
            stop.set()

    clock.sleep = sleep_until_end  # type: ignore[method-assign]
    try:
        tracker.run(stop, on_error=reported.append)
    finally:
        clock.sleep = sleep  # type: ignore[method-assign]
    return reported


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (WRONG_KEY, "did not accept the API id and key"),
        (FIREWALL, "Something between you and the API"),
        (httpx.Response(404, html="<html>"), "no such call .*https://a.example.*base_url"),
        (httpx.ConnectError("x"), "check the network and base_url"),
        (httpx.Response(200, html="<html>"), "is not JSON; check base_url"),
    ],
)
def test_it_is_said_at_the_start_and_again_until_it_works(
    tracker: Tracker,
    api: API,
    manual_clock: ManualClock,
    answer: httpx.Response | Exception,
    sentence: str,
) -> None:
    """The keys are tried although nothing is due, after an error ever less often."""
    api.answers["quota"] = answer
    reported = run_for(tracker, manual_clock, 290)
    assert tracker.access.error is not None
    assert tracker.access.tried_at is not None
    cause = str(tracker.access.error).rstrip(".")
    if isinstance(tracker.access.error, errors.AuthError):
        cause = "The API refuses the keys (401)"
    [first] = reported
    assert first.startswith(cause)
    with pytest.raises(errors.APIError, match=sentence):
        raise tracker.access.error
    assert len(api.calls) == 3
    api.answers["quota"] = QUOTA
    assert run_for(tracker, manual_clock, 60) == []
    assert tracker.pause is None
    assert tracker.access.error is None
    assert tracker.quota is not None


def test_they_are_tried_every_hour(
    tracker: Tracker, api: API, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys that work are tried again after an hour, whatever else the tracker does."""
    monkeypatch.setattr(tracker, "reconcile", lambda **_: [])
    tracker.run(threading.Event(), once=True)
    tracker.run(threading.Event(), once=True)
    assert api.calls == ["quota"]
    manual_clock.sleep(3_600)
    tracker.run(threading.Event(), once=True)
    assert api.calls == ["quota", "quota"]


def test_a_limit_of_calls_is_not_an_error_of_the_keys(tracker: Tracker, api: API) -> None:
    """A 429 says nothing about keys, and leaves what was known."""
    api.answers["quota"] = httpx.Response(429)
    assert tracker.ask_quota() is None
    assert tracker.access.error is None


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("before", [httpx.ConnectError("x"), httpx.Response(500)])
def test_a_pause_ends_what_is_said_of_a_dead_host(
    tracker: Tracker, api: API, before: httpx.Response | Exception, code: int
) -> None:
    """An API that asks to wait answers: neither it nor an error before is one of the access."""
    api.answers["quota"] = before
    tracker.ask_quota()
    assert tracker.access.error is not None
    api.answers["quota"] = httpx.Response(code, headers={"Retry-After": "3600"})
    assert tracker.ask_quota() is None
    assert tracker.pause is not None
    assert tracker.access.error is None


def test_a_key_refused_before_a_pause_is_said_but_holds_up_no_create(
    tracker: Tracker, api: API
) -> None:
    """A pause hides no wrong key; a submission is refused only for what is found out for it."""
    api.answers["quota"] = WRONG_KEY
    tracker.ask_quota()
    api.answers["quota"] = httpx.Response(429, headers={"Retry-After": "3600"})
    tracker.ask_quota()
    assert isinstance(tracker.access.error, errors.AuthError)
    assert tracker.submit(ADA).id == "p1"


def test_a_wrong_key_is_said_before_the_upload(tracker: Tracker, api: API) -> None:
    """The quota is read before a create is sent: with keys that it refuses, nothing is sent."""
    api.answers["quota"] = WRONG_KEY
    with pytest.raises(errors.AuthError, match="API id and key"):
        tracker.submit(ADA)
    assert tracker.store.submissions()["state"].tolist() == ["refused"]
    assert api.calls == ["quota"]


def test_a_create_is_sent_though_the_quota_cannot_be_read(tracker: Tracker, api: API) -> None:
    """Only a refused key is sure to refuse the create too."""
    for answer in (FIREWALL, httpx.Response(403, json={"detail": "No."}), httpx.Response(500)):
        api.answers["quota"] = answer
        assert tracker.submit(ADA).id == "p1"


@pytest.mark.parametrize("code", [400, 403])
def test_a_plan_that_filled_up_meanwhile(
    tracker: Tracker, api: API, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """A create that is refused without a clear word is a full plan if the quota says so then."""
    api.answers["create"] = httpx.Response(code, json={"detail": "Not possible."})
    create_persona = tracker.client.create_persona

    def fill(*args: object, **options: object) -> object:
        api.answers["quota"] = FULL
        return create_persona(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(tracker.client, "create_persona", fill)
    with pytest.raises(errors.PlanFull, match="3 of 3 avatars"):
        tracker.submit(ADA)
    row = tracker.store.submissions().iloc[0]
    assert row["state"] == "refused"
    assert "plan is full" in row["error"]
    assert api.calls == ["quota", "create", "quota"]


def test_a_fault_of_a_field_is_not_the_plan(tracker: Tracker, api: API) -> None:
    """A message about a field stays what it is, without another call."""
    api.answers["create"] = httpx.Response(400, json={"gender": ["Bad."]})
    with pytest.raises(errors.InvalidRequest):
        tracker.submit(ADA)
    assert api.calls == ["quota", "create"]


def test_an_upload_that_was_cut_by_a_timeout_is_uncertain(tracker: Tracker, api: API) -> None:
    """A 408 of a proxy says that the rest did not come, not that nothing was made of the rest."""
    api.answers["create"] = httpx.Response(408, html="<html>")
    with pytest.raises(errors.SubmissionUncertain, match="may have created"):
        tracker.submit(ADA)


@pytest.mark.long
def test_a_firewall_does_not_end_a_wait(
    tracker: Tracker, api: API, manual_clock: ManualClock
) -> None:
    """A 403 that is a page is waited out, and blames neither keys nor plan."""
    tracker.submit(ADA)
    done = httpx.Response(200, json={"id": "p1", "process_status": "done"})
    sleep = manual_clock.sleep

    def blocked_for_an_hour(seconds: float, stop: threading.Event | None = None) -> None:
        sleep(seconds, stop)
        api.answers["get"] = done if manual_clock.monotonic() > 3_600 else FIREWALL

    manual_clock.sleep = blocked_for_an_hour  # type: ignore[method-assign]
    assert tracker.wait("p1", timeout=1e6).status_text == "done"
    assert "Something between you and the API" in str(tracker.last_error)
    assert "keys, plan and avatars are not the cause" in str(tracker.last_error)
