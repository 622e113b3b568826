"""Webhooks as hints: what a body may name, how many polls they cost, and the address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit import Client, PersonaCreate, Store, Tracker
from avatarkit.errors import ConfigError, InvalidRequest
from avatarkit.tracking.webhooks import MOST_IDS, named_ids
from support.manual_clock import ManualClock

BASE = "https://avatars.example.com"
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
FORM = "application/x-www-form-urlencoded"
ADA = PersonaCreate(creator_name="Ada", gender="f")


class API:
    """A fake account that keeps what was sent and counts the polls."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.polled: list[str] = []
        self.status = "pending"
        self.refusal: httpx.Response | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/count/"):
            return httpx.Response(200, json={"max_count": 99, "current_count": 0})
        if request.method == "POST":
            self.sent.append(json.loads(request.read()))
            if self.refusal is not None:
                return self.refusal
            body = {"id": f"p{len(self.sent)}", "process_status": "pending"}
            return httpx.Response(201, json=body)
        if request.url.path == "/api/personas_v2/":
            return httpx.Response(200, json=[])
        persona_id = request.url.path.split("/")[-2]
        self.polled.append(persona_id)
        return httpx.Response(200, json={"id": persona_id, "process_status": self.status})


@pytest.fixture
def api() -> API:
    return API()


@pytest.fixture
def client(api: API) -> Iterator[Client]:
    transport = httpx.MockTransport(api)
    with Client("http://api.test", "an-id", "a-key-of-this-account", transport=transport) as opened:
        yield opened


@pytest.fixture
def tracker(client: Client, manual_clock: ManualClock) -> Iterator[Tracker]:
    with Store("sqlite://") as store:
        yield Tracker(client, store, clock=manual_clock, webhook_base=BASE)


def hook(tracker: Tracker, content: object) -> int:
    """Deliver a webhook with this JSON."""
    return tracker.webhooks.take(json.dumps(content).encode(), "application/json")


def settled(tracker: Tracker, count: int) -> list[str]:
    """Submit avatars whose next polls lie hours ahead."""
    ids = [tracker.submit(ADA).id for _ in range(count)]
    clock = tracker.clock
    assert isinstance(clock, ManualClock)
    clock.advance(10 * MINUTE)
    for persona_id in ids:
        tracker.store.plan(persona_id, clock.now() + 10 * HOUR, clock.now())
    return ids


# What a body names


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        ({"id": "a-1", "status": "done", "failed_reason": "", "output": None}, {"a-1"}),
        ({"event": "ready", "data": {"persona_id": "a"}}, {"a"}),
        ({"persona": {"id": "a", "labels": ["id"]}}, {"a"}),
        ([{"id": "a"}, {"Persona": "b"}], {"a", "b"}),
        ({"id": "'; DROP TABLE personas; --"}, set()),
        ({"id": "a\x00"}, set()),
        ({"id": "x" * 101}, set()),
        ({"id": 17}, None),
        ({"status": "done"}, None),
        ("a-1", None),
        (None, None),
    ],
)
def test_ids_are_found_where_they_usually_are(content: object, ids: set[str] | None) -> None:
    """At the top, within an envelope or a list; what cannot be an id is none of ours."""
    assert named_ids(json.dumps(content).encode()) == ids


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[" * 60_000,
        b'{"id":' * 10_000,
        b"9" * 60_000,
        b"[" * 900 + b"]" * 900,
    ],
)
def test_a_malformed_body_names_nothing(body: bytes) -> None:
    """Neither broken nor endlessly nested JSON raises anything."""
    assert named_ids(body, "application/json") is None


def test_a_form_names_ids() -> None:
    """As a browser sends it; of too many fields none is read."""
    assert named_ids(urlencode({"id": "a", "status": "done"}).encode(), FORM) == {"a"}
    assert named_ids(urlencode({f"f{n}": "a" for n in range(999)}).encode(), FORM) is None


def test_a_body_names_a_limited_number() -> None:
    """A body with thousands of ids is looked at in part."""
    ids = named_ids(json.dumps([{"id": f"p{n}"} for n in range(5_000)]).encode())
    assert ids is not None
    assert len(ids) == MOST_IDS


@given(st.binary(max_size=300), st.sampled_from(["", FORM, "application/json", "multipart/form"]))
def test_no_body_raises(body: bytes, content_type: str) -> None:
    """Random bytes name ids that fit, or nothing."""
    ids = named_ids(body, content_type)
    assert ids is None or all(len(each) <= 100 for each in ids)


# What a webhook brings about


def test_a_webhook_makes_the_tracker_ask_the_api(tracker: Tracker, api: API) -> None:
    """The named one is polled although that was planned for later, and only the answer counts."""
    first, second = settled(tracker, 2)
    assert tracker.look() == []
    assert hook(tracker, {"id": second, "status": "done", "failed_reason": "made up"}) == 1
    assert tracker.look() == []
    assert api.polled == [second]
    assert tracker.store.personas()["status"].tolist() == ["pending", "pending"]
    tracker.clock.sleep(60)
    api.status = "done"
    hook(tracker, {"id": second, "status": "made up"})
    assert [(change.persona_id, change.after) for change in tracker.look()] == [(second, "done")]
    assert api.polled == [second] * 2
    assert first not in api.polled


def test_an_ended_one_is_not_polled_again(tracker: Tracker, api: API) -> None:
    """A repeated webhook of an avatar that has ended costs nothing."""
    (persona_id,) = settled(tracker, 1)
    api.status = "failed"
    hook(tracker, {"id": persona_id})
    tracker.look()
    tracker.clock.sleep(3600)
    assert hook(tracker, {"id": persona_id}) == 0
    tracker.look()
    assert api.polled == [persona_id]


@pytest.mark.parametrize(
    ("content", "polls"), [({"id": "p1"}, 30), ({"id": "unknown"}, 0), ({"status": "done"}, 6)]
)
def test_a_flood_costs_a_poll_a_minute(
    tracker: Tracker, api: API, content: object, polls: int
) -> None:
    """Half an hour of many webhooks: once a minute if they name one, else every five minutes."""
    settled(tracker, 1)
    for _ in range(90):
        for _ in range(5):
            hook(tracker, content)
        tracker.look()
        tracker.clock.sleep(20)
    assert len(api.polled) == polls


def test_each_unnamed_one_is_followed_by_a_poll(tracker: Tracker, api: API) -> None:
    """The second of two in a row is not dropped: all are polled again after five minutes."""
    ids = settled(tracker, 2)

    def later() -> None:
        for persona_id in ids:
            tracker.store.plan(persona_id, tracker.clock.now() + 9 * HOUR, tracker.clock.now())

    later()
    tracker.webhooks.take(b"", "")
    tracker.look()
    assert sorted(api.polled) == ids
    for _ in range(3):
        later()
        tracker.clock.sleep(10)
        tracker.webhooks.take(b"", "")
        tracker.look()
    assert len(api.polled) == 2
    tracker.clock.sleep(270)
    tracker.look()
    assert sorted(api.polled) == sorted(ids * 2)


def test_without_webhooks_the_end_is_found(tracker: Tracker, api: API) -> None:
    """When none ever arrives, polling finds the end as before."""
    settled(tracker, 1)
    api.status = "done"
    tracker.clock.sleep(10 * 3600)
    assert [change.after for change in tracker.look()] == ["done"]


def test_webhooks_do_not_lift_a_pause(tracker: Tracker, api: API) -> None:
    """In a pause of the account nothing is polled because of a webhook."""
    (persona_id,) = settled(tracker, 1)
    now = tracker.clock.now()
    tracker.store.begin_pause(now, now + HOUR, "Wait until {moment}.", 1)
    hook(tracker, {"id": persona_id})
    tracker.look()
    assert api.polled == []


# The address


def test_submissions_carry_the_address(tracker: Tracker, api: API) -> None:
    """Prepared or not, logged as it is sent; an address of the user's own is kept."""
    url = tracker.webhooks.url()
    assert url is not None
    assert url.startswith(f"{BASE}/webhooks/personas/")
    tracker.submit(ADA)
    submission_id = tracker.prepare(ADA)
    tracker.submit(ADA, submission_id=submission_id)
    tracker.submit(ADA.model_copy(update={"webhook_url": "https://own.example/hook"}))
    assert [sent["webhook_url"] for sent in api.sent] == [url, url, "https://own.example/hook"]
    (logged,) = tracker.store.some_submissions({submission_id})
    assert logged.request["webhook_url"] == url


def test_without_a_public_url_nothing_is_added(client: Client, api: API) -> None:
    """No address is sent, and no token is made."""
    with Store("sqlite://") as store:
        tracker = Tracker(client, store)
        tracker.submit(ADA)
        assert "webhook_url" not in api.sent[0]
        assert tracker.webhooks.url() is None
        assert tracker.webhooks.token() is None


def test_the_longest_address_fits_the_contract(client: Client) -> None:
    """200 characters are taken, one more is a sentence at the start."""
    longest = f"https://{'a.' * 63}abcd"
    with Store("sqlite://") as store:
        url = Tracker(client, store, webhook_base=longest).webhooks.url()
        assert url is not None
        assert len(url) == 200
        with pytest.raises(ConfigError, match="longer than 138 characters"):
            Tracker(client, store, webhook_base=f"{longest}e")


def test_an_error_that_quotes_the_address_hides_the_token(tracker: Tracker, api: API) -> None:
    """The API may name what it refuses; neither the error nor the log has the token."""
    url, token = tracker.webhooks.url(), tracker.webhooks.token()
    quoted = {"webhook_url": [f"{url} is not a valid URL."]}
    api.refusal = httpx.Response(400, json=quoted)
    with pytest.raises(InvalidRequest) as caught:
        tracker.submit(ADA)
    assert "/webhooks/personas/[token]" in str(caught.value)
    assert str(token) not in str(caught.value) + caught.value.body
    assert str(token) not in tracker.store.submissions().to_csv()
