"""What answers says whether it is a sandbox, and a store is kept for it once that is known."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from avatarkit import Client, PersonaCreate, Sandbox, Store, Tracker, errors

KEY = "CANARY-key-that-must-never-be-shown"


class ToLoopback(httpx.BaseTransport):
    """Sends every request to 127.0.0.1, under the name that it was made for."""

    def __init__(self) -> None:
        self._network = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(host="127.0.0.1")
        return self._network.handle_request(request)

    def close(self) -> None:
        self._network.close()


class Fake:
    """Answers the control route with ``description``, and everything else with a persona."""

    def __init__(self, description: httpx.Response | Exception) -> None:
        self.description = description
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.path != "/_sandbox/":
            return httpx.Response(201, json={"id": "a", "process_status": "pending"})
        if isinstance(self.description, Exception):
            raise self.description
        return self.description

    def client(self, base_url: str = "http://127.0.0.1:9") -> Client:
        return Client(base_url, "i", KEY, transport=httpx.MockTransport(self), backoff_s=0)

    @property
    def times_asked(self) -> int:
        return sum(request.url.path == "/_sandbox/" for request in self.requests)


@pytest.fixture
def store() -> Iterator[Store]:
    with Store("sqlite://") as opened:
        yield opened


def kind(store: Store) -> str:
    """``sandbox``, ``live``, or ``neither``: what the store is kept for (and is, from now on)."""
    try:
        store.claim("neither")
    except errors.StoreError as error:
        return "sandbox" if "sandbox data" in str(error) else "live"
    return "neither"


@pytest.mark.parametrize("host", ["127.0.0.2", "localhost.", "[::ffff:127.0.0.1]"])
def test_a_sandbox_is_one_at_every_loopback_address(host: str, store: Store) -> None:
    """Whatever loopback is called, its sandbox's store is never taken for the live account's."""
    listens_at = host if host == "127.0.0.2" else "127.0.0.1"
    with Sandbox(host=listens_at) as sandbox:
        url = sandbox.url.replace(listens_at, host)
        transport = None if host == listens_at else ToLoopback()
        with Client(url, sandbox.api_id, sandbox.api_key, transport=transport) as client:
            Tracker(client, store)
            assert client.is_sandbox
            assert list(client.list_personas()) == []
    assert kind(store) == "sandbox"


def test_an_address_elsewhere_is_live_and_not_asked(store: Store) -> None:
    """No control route is asked for where the live API may be."""
    fake = Fake(httpx.Response(200, json={"instance": "a"}))
    with fake.client("https://api.example") as client:
        Tracker(client, store)
        assert client.is_sandbox is False
    assert fake.requests == []
    assert kind(store) == "live"


def test_a_sandbox_is_asked_once_and_without_the_key(store: Store) -> None:
    """One question is enough, and it tells nothing."""
    fake = Fake(httpx.Response(200, json={"instance": "a"}))
    with fake.client() as client:
        Tracker(client, store).submit(PersonaCreate(creator_name="Ada", gender="f"))
        assert client.is_sandbox
    assert fake.times_asked == 1
    assert KEY not in str(fake.requests[0].headers.raw)


@pytest.mark.parametrize(
    "description",
    [
        httpx.Response(404),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=["instance"]),
        httpx.Response(302, json={"instance": "a"}),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
    ],
    ids=repr,
)
def test_what_is_not_known_claims_nothing(
    description: httpx.Response | Exception, store: Store
) -> None:
    """A loopback address without a sandbox may be a tunnel to the live API, or start later."""
    fake = Fake(description)
    with fake.client() as client:
        Tracker(client, store).submit(PersonaCreate(creator_name="Ada", gender="f"))
        assert client.is_sandbox is None
    assert kind(store) == "neither"


def test_a_sandbox_that_starts_later_is_found_before_its_data_is_written(store: Store) -> None:
    """Nothing answered at first; the store of the live account then refuses the sandbox's data."""
    fake = Fake(httpx.ConnectError("refused"))
    store.claim("live")
    with fake.client() as client:
        tracker = Tracker(client, store)
        fake.description = httpx.Response(200, json={"instance": "a"})
        with pytest.raises(errors.StoreError, match="live data"):
            tracker.submit(PersonaCreate(creator_name="Ada", gender="f"))
    assert {request.method for request in fake.requests} == {"GET"}
    assert len(store.submissions()) == 0


def test_what_was_prepared_before_a_sandbox_was_found_can_be_settled(store: Store) -> None:
    """It was not sent, and no thread keeps it reserved."""
    fake = Fake(httpx.ConnectError("refused"))
    store.claim("live")
    with fake.client() as client:
        tracker, request = Tracker(client, store), PersonaCreate(creator_name="Ada", gender="f")
        submission_id = tracker.prepare(request)
        fake.description = httpx.Response(200, json={"instance": "a"})
        with pytest.raises(errors.StoreError, match="live data"):
            tracker.submit(request, submission_id=submission_id)
        with pytest.raises(errors.StoreError, match="live data"):
            tracker.prepare(request)
        assert store.settle_abandoned(tracker.clock.now()) == 1
    assert list(store.submissions()["state"]) == ["refused"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:1", "localhost:2", "[::1]:3", "127.0.0.2", "LocalHost."]
)
def test_the_account_of_a_sandbox_stays_what_it_was(host: str) -> None:
    """The fingerprint that stores hold is the same for every loopback address and port."""
    with Client(f"http://{host}", "1", "k") as client:
        assert client.account == "ca57f7c8e89a9af7"
