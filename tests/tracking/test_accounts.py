"""Avatars of the account that were not submitted here, and other accounts in the database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from avatarkit import Client, PersonaCreate, Sandbox, Store, Tracker, errors, eta
from support.manual_clock import MONDAY, ManualClock
from support.sandbox_client import create
from support.truth import check, history_of

HOUR = timedelta(hours=1)
ADA = PersonaCreate(creator_name="Ada", gender="f")
OLD, NEW = "old-id-0123456789", "new-id-9876543210"


class API:
    """One account at a.example, for each API id in ``ids``, and what is wrong with its answers."""

    def __init__(self) -> None:
        self.ids = {OLD, NEW}
        self.statuses: dict[str, str] = {}
        self.type: str | None = None
        self.extra: list[Any] = []
        self.calls: list[str] = []
        self.instead: httpx.Response | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.calls.append(f"{request.method} {path}")
        if self.instead is not None:
            return httpx.Response(self.instead.status_code, content=self.instead.content)
        if path.endswith("/count/"):
            return httpx.Response(200, json={"max_count": 9, "current_count": len(self.statuses)})
        is_own = request.headers["X-API-ID"] in self.ids
        own = self.statuses if is_own else {}
        if request.method == "POST":
            persona_id = f"p{len(own) + 1}"
            own[persona_id] = "pending"
            return httpx.Response(201, json=self.body(persona_id))
        if path == "/api/personas_v2/":
            return httpx.Response(200, json=[*map(self.body, own), *self.extra])
        persona_id = path.split("/")[-2]
        if persona_id not in own:
            return httpx.Response(404, json={"detail": "No Creator matches the given query."})
        return httpx.Response(200, json=self.body(persona_id))

    def body(self, persona_id: str) -> dict[str, Any]:
        body = {"id": persona_id, "process_status": self.statuses[persona_id], "type": self.type}
        return body | {"creator_name": "Ada", "gender": "f", "created_at": MONDAY.isoformat()}


@pytest.fixture
def api() -> API:
    return API()


@pytest.fixture
def opened(
    api: API, manual_clock: ManualClock, tmp_path: Path
) -> Iterator[Callable[[str], Tracker]]:
    """A function that opens the tracker of an API id on the one database."""
    open_now: list[Any] = []

    def open_tracker(api_id: str = OLD, base_url: str = "https://a.example") -> Tracker:
        transport = httpx.MockTransport(api)
        client = Client(base_url, api_id, "k" * 16, transport=transport, backoff_s=0, tries=1)
        store = Store(f"sqlite:///{tmp_path / 'log.db'}")
        open_now.extend([client, store])
        return Tracker(client, store, clock=manual_clock)

    yield open_tracker
    for each in open_now:
        each.close()


@pytest.fixture
def tracker(opened: Callable[[str], Tracker]) -> Tracker:
    return opened(OLD)


def once(tracker: Tracker) -> list[str]:
    """Make one pass, and return what it says of the account."""
    notices: list[str] = []
    tracker.run(threading.Event(), once=True, on_notice=notices.append)
    return notices


class TestAdopt:
    def test_what_the_list_has_beyond_the_log(self, tracker: Tracker, api: API) -> None:
        """They are logged once, running ones are planned, and ended ones are ended."""
        tracker.submit(ADA)
        api.statuses |= {"x": "reviewing", "y": "rejected"}
        assert [persona.id for persona in tracker.unknown()] == ["x", "y"]
        assert tracker.unknown_count == 2
        assert [persona.id for persona in tracker.adopt()] == ["x", "y"]
        assert tracker.adopt() == []
        assert tracker.unknown_count == 0
        rows = tracker.store.personas().set_index("persona_id")
        assert rows.loc["x", "next_look_at"] > MONDAY
        assert rows.loc["y", "status"] == "rejected"
        assert set(tracker.store.sightings("x")["source"]) == {"list"}
        # The list does not say why: it is polled by id once.
        tracker.look()
        assert "GET /api/personas/y/" in api.calls

    def test_two_that_adopt_at_once(
        self, api: API, manual_clock: ManualClock, postgres: str
    ) -> None:
        """Each avatar is adopted by one of them, and none by an error."""
        api.statuses |= {f"x{number}": "pending" for number in range(20)}
        both_have_read, adopted = threading.Barrier(2), []

        def adopt() -> None:
            transport = httpx.MockTransport(api)
            client = Client("https://a.example", OLD, "k" * 16, transport=transport)
            with client, Store(postgres) as store:
                tracker = Tracker(client, store, clock=manual_clock)
                read = tracker._read_unknown

                def read_together() -> Any:
                    unknown = read()
                    both_have_read.wait(30)
                    return unknown

                tracker._read_unknown = read_together  # type: ignore[method-assign]
                adopted.append([persona.id for persona in tracker.adopt()])

        Store(postgres).close()  # the tables are there before the two open it
        threads = [threading.Thread(target=adopt) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(adopted[0] + adopted[1]) == sorted(api.statuses)

    def test_one_by_id_that_the_list_hides(self, tracker: Tracker, api: API) -> None:
        """Only the given ones are adopted; one that is not listed is requested by id."""
        api.statuses |= {"x": "pending", "y": "pending"}
        assert [persona.id for persona in tracker.adopt(["y"])] == ["y"]
        assert tracker.unknown_count == 1
        with pytest.raises(errors.NotFound):
            tracker.adopt(["never"])
        assert tracker.store.known_ids() == {"y"}

    def test_not_what_an_uncertain_create_became(
        self, tracker: Tracker, api: API, manual_clock: ManualClock
    ) -> None:
        """An avatar that an open submission may have become is left to reconcile."""
        store = tracker.store
        submission_id = store.prepare(ADA, manual_clock.now())
        store.sending(submission_id, manual_clock.now())
        store.uncertain(submission_id, manual_clock.now(), "It broke.")
        api.statuses["x"] = "pending"
        assert tracker.unknown() == []
        tracker.reconcile()
        assert store.submissions()["persona_id"].tolist() == ["x"]

    def test_the_bounds_of_adopted_ones_are_true(
        self, manual_clock: ManualClock, tmp_path: Path
    ) -> None:
        """Whenever they are found, their beginnings, visits and lives hold the sandbox's truth."""
        with (
            Sandbox(tmp_path / "api", clock=manual_clock, seed=3) as sandbox,
            Client(sandbox.url, sandbox.api_id, sandbox.api_key) as client,
            Store(f"sqlite:///{tmp_path / 'log.db'}") as store,
        ):
            tracker = Tracker(client, store, clock=manual_clock)
            for end in ("done", "failed", "rejected", "done"):
                create(sandbox, labels=[f"sandbox:{end}"])
                manual_clock.advance(11 * HOUR)
            tracker.adopt()
            create(sandbox)
            manual_clock.advance(100 * HOUR)
            tracker.adopt()
            while store.next_look_at() is not None:
                manual_clock.advance(2 * HOUR)
                tracker.look()
            assert len(store.personas()) == 5
            check(store, history_of(sandbox), manual_clock.now())


class TestTheHourlyComparison:
    def test_it_says_how_many_are_unknown(
        self, tracker: Tracker, api: API, manual_clock: ManualClock
    ) -> None:
        """Once an hour, in the run of the tracker that polls; the sentence comes once."""
        tracker.submit(ADA)
        assert once(tracker) == []
        api.statuses |= {"x": "pending", "y": "pending"}
        manual_clock.advance(HOUR / 2)
        assert once(tracker) == []
        manual_clock.advance(HOUR)
        [notice] = once(tracker)
        assert notice == "2 avatars of this account are not followed here; 'adopt' lists them."
        assert once(tracker) == []
        assert any("2 avatars" in line for line in tracker.state().lines())

    def test_a_list_with_a_broken_entry_proves_nothing(self, tracker: Tracker, api: API) -> None:
        """The count stays as it was, but what is there may be adopted."""
        api.statuses["x"] = "pending"
        api.extra = [{"no": "id"}]
        once(tracker)
        assert tracker.unknown_count == 0
        assert [persona.id for persona in tracker.adopt()] == ["x"]


class TestFollow:
    def test_it_is_not_polled_until_it_is_followed_again(
        self, tracker: Tracker, api: API, manual_clock: ManualClock
    ) -> None:
        """History stays; a late answer, a list or a webhook does not plan it again."""
        persona_id = tracker.submit(ADA).id
        once(tracker)
        tracker.unfollow(persona_id)
        assert not tracker.store.has_running()
        tracker.poll(persona_id)
        tracker.store.make_due(persona_id, manual_clock.now())
        manual_clock.advance(200 * HOUR)
        tracker.look()
        api.calls.clear()
        assert tracker.look() == []
        assert not any(persona_id in call for call in api.calls)
        assert tracker.state().total == 0
        row = tracker.store.personas().iloc[0]
        assert not row["followed"]
        assert pd.isna(row["next_look_at"])
        now, log = manual_clock.now(), tracker.store
        assert eta.arrivals(log.sightings(), now=now, personas=log.personas()).empty
        tracker.follow(persona_id)
        assert [each.persona_id for each in log.due(now)] == [persona_id]
        assert len(eta.arrivals(log.sightings(), now=now, personas=log.personas())) == 1

    def test_an_ended_one_is_not_asked_for_when_the_list_lacks_it(
        self, tracker: Tracker, api: API, manual_clock: ManualClock
    ) -> None:
        """The comparison leaves out what is not followed."""
        api.statuses["x"] = "failed"
        tracker.follow("x")
        tracker.unfollow("x")
        del api.statuses["x"]
        manual_clock.advance(2 * HOUR)
        once(tracker)
        assert tracker.store.next_look_at() is None
        assert tracker.unknown_count == 0

    def test_an_unknown_one_is_requested(self, tracker: Tracker, api: API) -> None:
        """Following logs it; an id that the account does not have is an error."""
        api.statuses["x"] = "reviewing"
        assert tracker.follow("x").status_text == "reviewing"
        assert tracker.store.next_look_at("x") is not None
        with pytest.raises(errors.NotFound):
            tracker.follow("y")
        with pytest.raises(errors.ConfigError, match="no avatar y"):
            tracker.unfollow("y")

    def test_waiting_for_one_follows_it(self, tracker: Tracker, api: API) -> None:
        """A person who waits wants it polled."""
        persona_id = tracker.submit(ADA).id
        tracker.unfollow(persona_id)
        api.statuses[persona_id] = "done"
        assert tracker.wait(persona_id, timeout=900).is_terminal
        assert tracker.store.personas()["followed"].all()


class TestSeveralAccounts:
    def test_the_account_is_named(self, opened: Callable[..., Tracker]) -> None:
        """By the end of its API id and its host; other accounts with their number of avatars."""
        tracker = opened(OLD)
        tracker.submit(ADA)
        other = opened(NEW, "https://b.example")
        assert other.account_name == "live account …3210 at b.example"
        assert repr(other).startswith("Tracker('live account …3210 at b.example', ")
        [known] = other.other_accounts()
        assert known.sentence == (
            "This database also holds 1 avatar of the account …6789 at a.example; "
            "set its keys to see them."
        )
        assert tracker.other_accounts() == []

    def test_a_new_api_id_goes_on_with_the_log(
        self, opened: Callable[..., Tracker], api: API
    ) -> None:
        """One GET proves it; everything is carried over, said once, and polled on."""
        before = opened(OLD)
        persona_id = before.submit(ADA).id
        frame = before.store.sightings()
        tracker = opened(NEW)
        assert tracker.store.personas().empty
        [notice] = once(tracker)
        assert notice.startswith("1 avatar was carried over")
        assert "…6789 at a.example" in notice
        pd.testing.assert_frame_equal(tracker.store.sightings(), frame)
        assert once(tracker) == []
        assert tracker.other_accounts() == []
        api.statuses[persona_id] = "done"
        tracker.store.make_due(persona_id, tracker.clock.now())
        assert [change.after for change in tracker.look()] == ["done"]

    def test_a_log_of_an_older_version_is_carried_over_too(
        self, opened: Callable[..., Tracker]
    ) -> None:
        """It does not say which API its rows are of."""
        before = opened(OLD)
        before.submit(ADA)
        with before.store.transaction() as connection:
            connection.exec_driver_sql("UPDATE accounts SET base_url = NULL, api_id_hint = NULL")
        tracker = opened(NEW)
        assert "an older avatarkit" in tracker.other_accounts()[0].sentence
        assert len(tracker.carry_over()) == 1

    def test_one_that_a_tracker_still_polls_is_left_to_it(
        self, opened: Callable[..., Tracker], api: API
    ) -> None:
        """Two trackers with two API ids of an account do not take the rows from each other."""
        old, new = opened(OLD), opened(NEW)
        old.submit(ADA)
        with old.lease.kept():
            assert old.lease.keep()
            (sentence,) = new.carry_over()
            assert sentence == (
                "Another API id of this account (…6789 at a.example) is still tracked by "
                f"{old.lease.name}, 0 s ago; end that tracker, and its avatars are carried over."
            )
            calls = len(api.calls)
            assert new.carry_over() == []
            assert len(api.calls) == calls
            assert old.store.known_ids() == {"p1"}
        (sentence,) = new.carry_over()
        assert "1 avatar was carried over" in sentence
        assert new.store.known_ids() == {"p1"}

    def test_quite_another_account_keeps_its_own_log(
        self, opened: Callable[..., Tracker], api: API
    ) -> None:
        """The API does not know the avatars; they are asked for once, and stay where they are."""
        opened(OLD).submit(ADA)
        api.ids = {OLD}
        tracker = opened(NEW)
        once(tracker)
        assert tracker.store.personas().empty
        assert [other.personas for other in tracker.other_accounts()] == [1]
        api.calls.clear()
        tracker.carry_over()
        assert api.calls == []

    @pytest.mark.parametrize(
        "answer",
        [
            httpx.Response(401, json={"detail": "Invalid keys."}),
            httpx.Response(403, json={"detail": "No."}),
            httpx.Response(404, text="<html>Not Found</html>"),
            httpx.Response(500),
        ],
    )
    def test_an_error_proves_nothing(
        self, opened: Callable[..., Tracker], api: API, answer: httpx.Response
    ) -> None:
        """Nothing changes, and it is tried again when the API answers."""
        opened(OLD).submit(ADA)
        tracker = opened(NEW)
        api.instead = answer
        assert tracker.carry_over() == []
        assert tracker.store.personas().empty
        api.instead = None
        tracker.clock.sleep(7200)
        assert len(tracker.carry_over()) == 1

    def test_a_stock_avatar_proves_nothing(self, opened: Callable[..., Tracker], api: API) -> None:
        """Every account can read it."""
        opened(OLD).submit(ADA)
        api.type = "stock"
        assert opened(NEW).carry_over() == []

    def test_another_host_is_not_asked(self, opened: Callable[..., Tracker], api: API) -> None:
        """An account at another base URL is never carried over."""
        opened(OLD).submit(ADA)
        tracker = opened(NEW, "https://b.example")
        api.calls.clear()
        assert tracker.carry_over() == []
        assert api.calls == []

    def test_what_the_new_id_has_followed_already_is_merged(
        self, opened: Callable[..., Tracker], api: API, manual_clock: ManualClock
    ) -> None:
        """A log that is not empty is joined once its list shows an avatar of the other one."""
        before = opened(OLD)
        first = before.submit(ADA).id
        manual_clock.advance(HOUR)
        tracker = opened(NEW)
        second = tracker.submit(ADA).id
        api.statuses[first] = "processing"
        tracker.follow(first)
        assert tracker.adopt() == []
        assert tracker.store.known_ids() == {first, second}
        assert tracker.store.sightings(first)["status"].tolist() == ["pending", "processing"]
        assert before.store.personas().empty
