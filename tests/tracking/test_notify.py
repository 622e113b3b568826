"""Messages: what is told, once, and what happens when they cannot be sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from avatarkit import Client, Persona, PersonaCreate, Sandbox, Store, Tracker, open_session
from avatarkit.store.account import Pause
from avatarkit.tracking import notify
from avatarkit.tracking.notify import Notifier
from support.manual_clock import ManualClock
from support.messages import FakeAddresses, message_server

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class Account:
    """A fake account whose statuses a test sets, and a tracker of it that tells ``addresses``."""

    def __init__(self, clock: ManualClock, url: str) -> None:
        self.clock = clock
        self.statuses: dict[str, str] = {}
        self.refuses = False
        self.addresses = FakeAddresses()
        transport = httpx.MockTransport(self._answer)
        self.client = Client("https://a.example", "i", "k", transport=transport, tries=1)
        self.store = Store(url)
        self.tracker = self.track()

    def track(self, store: Store | None = None) -> Tracker:
        store = store or self.store
        tracker = Tracker(self.client, store, clock=self.clock)
        tracker.notifier = Notifier(store, self.clock, self.addresses)
        tracker.notifier.begin()
        return tracker

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.refuses:
            return httpx.Response(401, json={"detail": "Invalid keys."})
        persona_id = request.url.path.split("/")[-2]
        if persona_id == "count":
            return httpx.Response(200, json={"max_count": 99, "current_count": 1})
        if persona_id == "personas_v2":
            return httpx.Response(200, json=[])
        return httpx.Response(200, json=self.body(persona_id))

    def body(self, persona_id: str) -> dict[str, Any]:
        status = self.statuses[persona_id]
        reason = "Too *dark*\n<b>" if status in ("failed", "rejected") else None
        name = f"Ada {persona_id}"
        return {
            "id": persona_id, "process_status": status, "failed_reason": reason,
            "creator_name": name,
        }  # fmt: skip

    def follow(self, *ids: str, status: str = "pending", source: str = "list") -> None:
        """Log avatars as they are now, and make them due."""
        with self.store.transaction():
            for persona_id in ids:
                self.statuses[persona_id] = status
                self.log(persona_id, source=source)
                self.store.make_due(persona_id, self.clock.now())

    def log(self, persona_id: str, source: str = "poll") -> None:
        persona = Persona.model_validate(self.body(persona_id))
        now = self.clock.now()
        no = self.store.ask()
        self.store.record(persona, asked_at=now, answered_at=now, source=source, asked_no=no)

    def live(self, persona_id: str, *, hours: float | None, begins_h: float = 0) -> None:
        """Log a life that was polled every quarter of an hour, to its end or for two days."""
        self.statuses[persona_id] = "pending"
        begins_at = self.clock.now() + begins_h * HOUR
        created = {"created_at": begins_at.isoformat()}
        moments = [begins_at, *(begins_at + n * HOUR / 4 for n in range(1, 12))]
        if hours is None:
            moments = [begins_at, self.clock.now() + 48 * HOUR]
        for at in moments:
            if hours is not None and at > begins_at + hours * HOUR:
                self.statuses[persona_id] = "done"
            persona = Persona.model_validate(self.body(persona_id) | created)
            source = "create" if at == begins_at else "poll"
            self.store.record(persona, asked_at=at, answered_at=at, source=source)
        if hours is None:
            self.store.make_due(persona_id, at)

    def run(self, tracker: Tracker | None = None) -> None:
        """Make one pass, which sends what is to be told at its end, as cron does."""
        (tracker or self.tracker).run(threading.Event(), once=True)

    def step(self) -> None:
        """Do what a pass of a long run does, and wait for it."""
        assert self.tracker.lease.keep()
        self.tracker.notify()
        assert self.tracker.notifier is not None
        self.tracker.notifier.close(60)

    @property
    def sent(self) -> list[tuple[str, str, str]]:
        return self.addresses.sent


@pytest.fixture
def account(manual_clock: ManualClock, tmp_path: Path) -> Iterator[Account]:
    opened = Account(manual_clock, f"sqlite:///{tmp_path / 'log.db'}")
    with opened.client, opened.store:
        yield opened


class TestEnds:
    def test_each_end_is_told_with_its_reason(self, account: Account) -> None:
        """Done, failed and rejected ones are told of, with name, reason and id, on one line."""
        account.follow("p1", "p2", "p3")
        account.statuses |= {"p1": "done", "p2": "failed", "p3": "rejected"}
        account.run()
        ((_, title, body),) = account.sent
        assert title == "3 avatars ended: 1 done, 1 failed, 1 rejected"
        assert body.splitlines() == [
            "Ada p2: failed: Too *dark* <b> (p2, seen 2026-01-05 09:00 UTC)",
            "Ada p3: rejected: Too *dark* <b> (p3, seen 2026-01-05 09:00 UTC)",
            "Ada p1: done (p1, seen 2026-01-05 09:00 UTC)",
        ]

    def test_it_is_told_once(self, account: Account) -> None:
        """Neither later passes nor another tracker of the same log tell it again."""
        account.follow("p1")
        account.statuses["p1"] = "done"
        account.run()
        account.run()
        account.run(account.track())
        account.clock.advance(HOUR)
        account.run()
        assert len(account.sent) == 1

    def test_two_trackers_at_once_tell_it_once(self, account: Account) -> None:
        """Both poll, find the ends and send at the same time."""
        ids = [f"p{n}" for n in range(10)]
        account.follow(*ids)
        account.statuses |= dict.fromkeys(ids, "done")
        with (
            Store(account.store.url) as same,
            ThreadPoolExecutor(2) as threads,
        ):
            trackers = [account.track(store) for store in (account.store, same)]
            for run in [threads.submit(account.run, tracker) for tracker in trackers]:
                run.result()
        lines = [line for _, _, body in account.sent for line in body.splitlines()]
        assert sorted(line.split("(")[1].split(",")[0] for line in lines) == ids

    def test_many_that_end_are_one_message(self, account: Account) -> None:
        """Of 100 the first twenty are listed, the failed ones before the others."""
        ids = [f"p{n}" for n in range(100)]
        account.follow(*ids)
        account.statuses |= dict.fromkeys(ids, "done") | {"p70": "failed"}
        with account.store.transaction():
            for persona_id in ids:
                account.log(persona_id)
        assert account.tracker.notifier is not None
        account.tracker.notifier.finish(None)
        ((_, title, body),) = account.sent
        assert title == "100 avatars ended: 99 done, 1 failed"
        lines = body.splitlines()
        assert len(lines) == 21
        assert lines[0].startswith("Ada p70: failed")
        assert lines[-1] == "and 80 more"

    def test_what_ends_within_a_minute_is_one_message(self, account: Account) -> None:
        """In a long run a message waits for a minute, and takes along what ends meanwhile."""
        account.follow("p1", "p2")
        account.statuses["p1"] = "done"
        account.log("p1")
        account.step()
        account.clock.advance(0.9 * MINUTE)
        account.statuses["p2"] = "done"
        account.log("p2")
        account.step()
        assert account.sent == []
        account.clock.advance(0.2 * MINUTE)
        account.step()
        assert [title for _, title, _ in account.sent] == ["2 avatars ended: 2 done"]

    def test_what_was_over_before_is_no_news(self, account: Account) -> None:
        """What had ended when messages were switched on, or when it was found, is not told."""
        account.follow("found", status="done")
        account.run()
        with Store(account.store.url, account="another") as store:
            for status in ("pending", "done"):
                now = account.clock.now()
                persona = Persona.model_validate({"id": "old", "process_status": status})
                store.record(persona, asked_at=now, answered_at=now, source="poll")
                account.clock.advance(HOUR)
            store.begin_notifying()
            assert store.unnotified_ends(now - HOUR) == []
        assert account.sent == []

    def test_an_end_that_changes_is_another_end(self, account: Account) -> None:
        """An avatar that failed and is done later is told of twice."""
        account.follow("p1")
        for status in ("failed", "done"):
            account.clock.advance(HOUR)
            account.statuses["p1"] = status
            account.store.make_due("p1", account.clock.now())
            account.run()
        assert [title for _, title, _ in account.sent] == [
            "1 avatar ended: 1 failed",
            "1 avatar ended: 1 done",
        ]


class TestOtherEvents:
    def test_refused_keys_are_told_once_a_period(self, account: Account) -> None:
        """Not each hour; once the keys work again, the next refusal is told."""
        account.follow("p1")
        account.refuses = True
        for _ in range(30):
            account.run()
            account.clock.advance(HOUR)
        ((_, title, body),) = account.sent
        assert title == "The API refuses all calls"
        assert "AVATARKIT_API_KEY" in body
        account.refuses = False
        account.run()
        account.clock.advance(HOUR)
        account.run()
        account.refuses = True
        account.clock.advance(12 * HOUR)
        account.run()
        assert len(account.sent) == 2

    def test_a_network_that_is_down_meanwhile_is_no_end_of_a_refusal(
        self, account: Account
    ) -> None:
        """Only a call that is answered is."""
        notifier, now = account.tracker.notifier, account.clock.now()
        assert notifier is not None
        for cause in ("refused", "unreachable", "refused"):
            account.clock.advance(HOUR)
            began_at = account.clock.now()
            notifier.finish(Pause(began_at, now + 24 * HOUR, "Why.", 1, 1, cause, "mark"))
        assert len(account.sent) == 1

    def test_an_uncertain_submission_is_told_unless_it_is_settled_soon(
        self, account: Account
    ) -> None:
        """After a quarter of an hour, as reconciling settles most of them before."""
        store, clock = account.store, account.clock
        ids = []
        for name in ("Grace", "Joan"):
            ids.append(store.prepare(PersonaCreate(creator_name=name, gender="f"), clock.now()))
            store.sending(ids[-1], clock.now())
            store.uncertain(ids[-1], clock.now(), "It broke.")
        account.step()
        store.refused(ids[1], clock.now(), "It never arrived.")
        clock.advance(16 * MINUTE)
        account.step()
        for _ in range(3):
            clock.advance(2 * MINUTE)
            account.step()
        ((_, title, body),) = account.sent
        assert title == "1 uncertain"
        assert "Grace: sent 2026-01-05 09:00 UTC" in body
        assert ids[0] in body

    def test_a_late_one_is_told_once_a_stage(self, account: Account) -> None:
        """Once it is in its stage for longer than 95 % of the finished ones were."""
        with account.store.transaction():
            for n in range(12):
                account.live(f"p{n}", hours=1 + n / 12)
            account.live("slow", hours=None)
            account.live("new", hours=None, begins_h=47)
        account.clock.advance(48 * HOUR)
        for _ in range(3):
            account.step()
            account.clock.advance(2 * MINUTE)
        ((_, title, body),) = account.sent
        assert title == "12 avatars ended: 12 done; 1 late"
        line = body.splitlines()[0]
        assert line.startswith("Ada slow: Pending for 2 d, where 95 % take at most 1 h 5")
        assert line.endswith("(slow)")

    def test_what_is_over_before_it_is_sent_is_not_told(self, account: Account) -> None:
        """Neither a late one that has left its stage, nor an uncertain one that is settled."""
        store, clock = account.store, account.clock
        account.addresses.refused.add("fake")
        submission_id = store.prepare(PersonaCreate(creator_name="Joan", gender="f"), clock.now())
        store.sending(submission_id, clock.now())
        store.uncertain(submission_id, clock.now(), "It broke.")
        with store.transaction():
            for n in range(12):
                account.live(f"p{n}", hours=1 + n / 12)
            account.live("slow", hours=None)
        clock.advance(48 * HOUR)
        account.step()
        clock.advance(2 * MINUTE)
        account.step()
        assert {"late", "uncertain"} < {each.event for each in store.last_notifications(99)}
        account.addresses.refused.clear()
        store.refused(submission_id, clock.now(), "It never arrived.")
        account.statuses["slow"] = "done"
        account.log("slow")
        for _ in range(9):
            clock.advance(2 * MINUTE)
            account.step()
        assert account.sent
        assert {title for _, title, _ in account.sent} <= {"13 avatars ended: 13 done"}
        assert store.notifications_state()[1:] == (0, None)

    def test_without_history_none_is_late(self, account: Account) -> None:
        """The vendor's claim is no reason to wake a person."""
        account.follow("p1")
        account.clock.advance(60 * 24 * HOUR)
        account.log("p1")
        account.run()
        assert account.sent == []


class TestDelivery:
    def test_it_is_sent_again_to_those_that_did_not_take_it(self, account: Account) -> None:
        """After a minute, five, half an hour; an address that took it does not get it twice."""
        account.addresses.schemes = ["up", "down"]
        account.addresses.refused = {"down"}
        account.follow("p1")
        account.statuses["p1"] = "done"
        account.run()
        error = "A message was not sent: address 2 (down): The server is down."
        assert account.tracker.state().notify_error == error
        assert error in account.tracker.state().lines()
        account.clock.advance(2 * MINUTE)
        account.step()
        account.addresses.refused = set()
        account.clock.advance(4 * MINUTE)
        account.step()
        assert len(account.sent) == 1
        account.clock.advance(2 * MINUTE)
        account.step()
        account.clock.advance(48 * HOUR)
        account.step()
        assert [scheme for scheme, _, _ in account.sent] == ["up", "down"]
        assert account.tracker.state().notify_error is None

    def test_a_run_reports_what_was_not_sent(self, account: Account) -> None:
        """Once, and so a job of cron that fails to send does not end well."""
        account.addresses.refused = {"fake"}
        account.follow("p1")
        account.statuses["p1"] = "done"
        errors: list[str] = []
        for _ in range(2):
            account.tracker.run(threading.Event(), on_error=errors.append, once=True)
        assert errors == ["A message was not sent: address 1 (fake): The server is down."] * 2

    def test_it_is_given_up_after_a_day(self, account: Account) -> None:
        """An address that takes nothing is tried 26 times."""
        account.addresses.refused = {"fake"}
        account.follow("p1")
        account.statuses["p1"] = "done"
        account.run()
        for _ in range(60):
            account.clock.advance(HOUR)
            account.step()
        (notification,) = account.store.last_notifications(9)
        assert notification.next_attempt_at is None
        assert notification.attempts == len(notify.RETRY_S) + 1
        assert notification.sent_at is None

    def test_a_server_that_never_answers_holds_up_no_pass(self, account: Account) -> None:
        """Polls go on while a message hangs, and it does not keep the tracker from ending."""
        account.addresses.answer.clear()
        account.follow("p1", "p2")
        account.statuses["p1"] = "done"
        account.log("p1")
        account.step()
        account.clock.advance(2 * MINUTE)
        assert account.tracker.lease.keep()
        account.tracker.notify()
        assert account.addresses.called.wait(60)
        account.clock.advance(2 * MINUTE)
        account.statuses["p2"] = "done"
        account.store.make_due("p2", account.clock.now())
        assert [change.persona_id for change in account.tracker.look()] == ["p2"]
        account.tracker.notify()
        account.addresses.answer.set()
        account.step()
        assert len(account.sent) == 1

    def test_a_crash_loses_nothing(self, account: Account) -> None:
        """Not between the log and the outbox, and not between the claim and the sending."""
        account.follow("p1")
        account.statuses["p1"] = "done"
        account.log("p1")  # and the process dies before it writes the outbox
        account.tracker = account.track()
        account.addresses.problems, account.addresses.schemes = ["None."], []
        account.run()
        assert len(account.store.last_notifications(9)) == 1
        now, since = account.clock.now(), account.clock.now() - HOUR
        claimed = account.store.claim_notifications(
            now, lambda _: MINUTE, since=since, at_once=True
        )
        assert len(claimed) == 1  # and the process dies before it sends
        account.addresses.schemes = ["fake"]
        account.step()
        assert account.sent == []
        account.clock.advance(2 * MINUTE)
        account.step()
        account.clock.advance(HOUR)
        account.step()
        assert len(account.sent) == 1

    def test_only_the_tracker_that_holds_the_lease_tells(
        self, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another one, which stands by, sends nothing."""
        monkeypatch.setattr(Tracker, "has_lease", False, raising=False)
        account.follow("p1")
        account.statuses["p1"] = "done"
        account.log("p1")
        account.step()
        assert account.store.last_notifications(9) == []

    def test_a_bug_of_a_service_is_no_bug_of_the_tracking(
        self, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is named by its class, as its text may hold a secret."""

        def fail(*_: object) -> None:
            raise ValueError("canary")

        monkeypatch.setattr(account.addresses, "_sender", lambda _: fail)
        account.follow("p1")
        account.statuses["p1"] = "done"
        account.run()
        (notification,) = account.store.last_notifications(9)
        assert notification.error == "address 1 (fake): ValueError in Apprise."


def test_from_the_sandbox_to_a_web_server(
    manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten avatars of the sandbox end, and one POST of Apprise arrives with their names."""
    with message_server() as server:
        monkeypatch.setenv("AVATARKIT_NOTIFY", server.url("secret"))
        with open_session(clock=manual_clock) as session:
            tracker = session.tracker
            stop = threading.Event()
            tracker.run(stop, once=True)
            for n in range(10):
                create = PersonaCreate(
                    creator_name=f"Ada {n}", gender="f", labels=["sandbox:rejected"]
                )
                tracker.submit(create)
            server.status = 500
            manual_clock.advance(30 * 24 * HOUR)
            tracker.run(stop, once=True)
            assert server.posts == []
            server.status = 200
            manual_clock.advance(HOUR)
            tracker.run(stop, once=True)
            manual_clock.advance(HOUR)
            tracker.run(stop, once=True)
            assert isinstance(session.sandbox, Sandbox)
    (post,) = server.posts
    assert post["title"] == "10 avatars ended: 10 rejected (sandbox)"
    assert all(f"Ada {n}: rejected" in post["message"] for n in range(10))
