"""The pages, each rerun by AppTest against a sandbox in the test's own data folder."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import avatarkit
from avatarkit import Persona, PersonaCreate, Quota, Sandbox, text
from avatarkit.models import STAGES, ProcessStatus
from avatarkit.session import Session
from avatarkit.ui import cache, draft, running
from avatarkit.ui.pages import settings

MAIN = Path(avatarkit.__file__).parent / "ui" / "main.py"


@pytest.fixture(autouse=True)
def _closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test opened is closed after it."""
    monkeypatch.setenv("AVATARKIT_SANDBOX_SPEED", "100000")
    yield
    running.close()


def submit_page() -> AppTest:
    test = AppTest.from_file(str(MAIN), default_timeout=30)
    # Without one secret set here, AppTest reads the secrets of whoever runs the tests.
    test.secrets["unused"] = "x"
    return test.run()


def _tracker() -> None:
    from avatarkit.ui.pages import tracker

    tracker.show()


def _stage_times() -> None:
    from avatarkit.ui.pages import stage_times

    stage_times.show()


def _settings() -> None:
    from avatarkit.ui.pages import settings

    settings.show()


def page(script: Callable[[], None]) -> AppTest:
    test = AppTest.from_function(script, default_timeout=30)
    test.secrets["unused"] = "x"
    return test.run()


def texts(test: AppTest) -> str:
    kinds = (test.markdown, test.caption, test.error, test.warning, test.info, test.success)
    # Without the signs that keep Markdown from reading what others wrote.
    return "\n".join(str(element.value) for kind in kinds for element in kind).replace("\\", "")


def fill(test: AppTest, **values: str) -> AppTest:
    for field, value in values.items():
        if field == "gender":
            test.button_group(key="submit_gender").set_value(value)
        else:
            test.text_input(key=f"submit_{field}").set_value(value)
    return test.run()


def submitted(label: str = "sandbox:done") -> str:
    tracker = running.get().session.tracker
    return tracker.submit(PersonaCreate(creator_name="Ada", gender="f", labels=[label])).id


def ended(persona_id: str) -> None:
    store = running.get().session.store
    for _ in range(600):
        persona = store.persona(persona_id)
        if persona is not None and persona.is_terminal:
            return
        time.sleep(0.05)
    raise AssertionError("the tracker's thread did not see the end")


def lived(count: int, *, running: int = 0, late: int = 0) -> list[str]:
    """A log of personas that were followed for a week, the last ones still in reviewing.

    The late ones have been in it for ten times as long as the others took. Returns all ids.
    """
    session = running_session()
    session.tracker.stop()
    now, hour = session.clock.now(), timedelta(hours=1)
    statuses = [*STAGES, ProcessStatus.DONE]
    ids = [f"lived-{i:03}" for i in range(count + running)]
    for i, persona_id in enumerate(ids):
        is_running = i >= count
        is_late = is_running and i - count < late
        begun = now - (200 + i) * hour if is_late else now - (22 if is_running else 150 - i) * hour
        for place, status in enumerate(statuses[:-1] if is_running else statuses):
            persona = Persona(
                id=persona_id,
                creator_name=f"Ada {i}",
                process_status=status,
                created_at=begun,
            )
            seen = begun + place * 4 * hour
            last = seen + (1 + i % 3) * hour
            if is_running and status == statuses[-2]:
                last = now
            for moment in (seen, last):
                session.store.record(
                    persona,
                    asked_at=moment,
                    answered_at=moment,
                    source="list" if place == 0 else "poll",
                )
    return ids


def running_session() -> Session:
    return running.get().session


def charts_of(test: AppTest) -> list[str]:
    """The questions of the charts on the page."""
    specs = [json.loads(chart.proto.spec) for chart in test.get("vega_lite_chart")]
    specs += [json.loads(chart.proto.spec) for chart in test.get("arrow_vega_lite_chart")]
    return [spec["title"]["text"] for spec in specs]


def patiently(test: AppTest, is_there: Callable[[], bool]) -> None:
    """Rerun the page until its estimates, which come from another thread, are there."""
    for _ in range(60):
        if is_there():
            return
        time.sleep(0.2)
        test.run()
    raise AssertionError(texts(test))


class TestSubmit:
    def test_the_page_says_that_it_is_the_sandbox(self) -> None:
        """Which account it is stands on the page, and how fast its clock runs."""
        test = submit_page()
        assert not test.exception
        assert "Sandbox" in texts(test)
        assert "times as fast" in texts(test)

    def test_an_empty_form_is_a_sentence(self) -> None:
        """Pressing Submit on an empty form says what is missing, and nothing is recorded."""
        test = submit_page()
        test.button(key="submit_send").click().run()
        assert "gender" in test.error[0].value
        fill(test, gender="f")
        test.button(key="submit_send").click().run()
        assert "creator_name: must not be empty" in texts(test)
        assert running.get().session.store.submissions().empty

    @pytest.mark.parametrize(
        ("field", "value", "sentence"),
        [
            ("lipsync_input", "/no/such.mp4", "does not exist"),
            ("lipsync_input", "/", "is a directory"),
            ("webhook_url", "nope", "must be a URL"),
            ("lipsync_input", "ftp://x/y.mp4", "http"),
            ("creator_name", "x" * 256, "creator_name: String should have at most 255"),
            ("video_scene", "x" * 256, "video_scene: String should have at most 255"),
            ("webhook_url", f"https://example.com/{'x' * 181}", "webhook_url: String should have"),
            ("labels", "one, , two", "A label must not be empty"),
        ],
    )
    def test_bad_input_is_a_sentence_and_loses_nothing(
        self, field: str, value: str, sentence: str
    ) -> None:
        """What is wrong is said, and everything typed is still in the form."""
        test = fill(submit_page(), **{"creator_name": "Ada", "gender": "f", field: value})
        if test.checkbox:
            test.checkbox[0].check().run()
        test.button(key="submit_send").click().run()
        assert sentence in texts(test)
        assert test.text_input(key=f"submit_{field}").value == value
        assert running.get().session.store.submissions().empty

    def test_255_emoji_are_a_name(self) -> None:
        """Characters are counted, as the API counts them, and not their halves."""
        test = fill(submit_page(), creator_name="🎬" * 255, gender="f")
        test.button(key="submit_send").click().run()
        assert not test.error
        assert running.get().session.store.submissions()["creator_name"].tolist() == ["🎬" * 255]

    def test_a_tick_is_for_one_video(self, tmp_path: Path) -> None:
        """Another unusable video has to be wanted anew."""
        for name in ("a.mp4", "b.mp4"):
            (tmp_path / name).write_text("no video")
        first, second = str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")
        test = fill(submit_page(), creator_name="Ada", gender="f", lipsync_input=first)
        test.checkbox[0].check().run()
        assert not test.button(key="submit_send").disabled
        fill(test, lipsync_input=second)
        assert test.button(key="submit_send").disabled

    @pytest.mark.parametrize("path", ["~nosuchuser/a.mp4", "x" * 400, "a\0b.mp4"])
    def test_a_path_that_no_file_can_have_is_a_finding(self, path: str) -> None:
        """It is said beside the form, and nothing that was typed is lost."""
        test = fill(submit_page(), creator_name="Ada", gender="f", lipsync_input=path)
        assert not test.exception
        assert test.error
        assert "This page failed" not in texts(test)
        running.close()
        assert submit_page().text_input(key="submit_creator_name").value == "Ada"

    def test_what_waits_for_its_turn_is_in_the_log(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The form is cleared when it is sent; a crash before its turn loses nothing."""
        outbox, go = running.get().outbox, threading.Event()

        def wait(*_: object, **__: object) -> None:
            go.wait(20)
            raise avatarkit.errors.ConfigError("Enough.")

        monkeypatch.setattr("avatarkit.tracking.submit.send", wait)
        try:
            for name in ("one", "two", "three"):
                outbox.send(PersonaCreate(creator_name=name, gender="f"))
            rows = running.get().session.store.submissions()
            assert sorted(rows["creator_name"]) == ["one", "three", "two"]
            assert set(rows["state"]) == {"prepared"}
        finally:
            go.set()

    def test_what_a_crash_interrupted_is_shown_after_the_restart(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What never left can be put back, what was on its way is not known; until dismissed."""
        outbox, store = running.get().outbox, running.get().session.store
        running.get().session.tracker.stop()
        monkeypatch.setattr("avatarkit.tracking.submit.send", lambda *_, **__: 1 / 0)
        ids = [
            outbox.send(PersonaCreate(creator_name=name, gender="f", labels=["x"]))
            for name in ("waiting", "leaving")
        ]
        for submission_id in ids:
            outbox.wait(submission_id, 20)
        store.sending(ids[1], running.get().session.clock.now())
        running.close()
        test = submit_page()
        patiently(test, lambda: "waiting was not submitted" in texts(test))
        patiently(test, lambda: "not known yet whether leaving was created" in texts(test))
        for submission_id in ids:
            test.button(key=f"submit_dismiss_{submission_id}").click().run()
        assert "leaving" not in texts(test)
        assert len(running.get().session.store.submissions()) == 2

    def test_the_videos_of_a_create_that_was_found_are_deleted(self, tmp_path: Path) -> None:
        """They are kept until it is accepted, and then not for good."""
        session, outbox = running.get().session, running.get().outbox
        session.tracker.stop()
        with (tmp_path / "a.mp4").open("wb+") as content:
            content.write(b"x" * 99)
            path = draft.keep_upload(outbox.uploads, "a.mp4", content)
        request = PersonaCreate(creator_name="Ada", gender="f", lipsync_input=path)
        submission_id = session.tracker.prepare(request)
        session.store.sending(submission_id, session.clock.now())
        session.store.uncertain(submission_id, session.clock.now(), "It broke.")
        outbox.dismiss(submission_id)
        assert path.exists()
        made = session.client.create_persona(PersonaCreate(creator_name="Ada", gender="f"))
        session.tracker.settle(submission_id, made.id)
        outbox.dismiss(submission_id)
        assert not path.exists()

    def test_a_text_file_named_mp4_is_stopped(self, tmp_path: Path) -> None:
        """A file that is no video cannot be sent without saying so."""
        path = tmp_path / "notes.mp4"
        path.write_text("no video " * 99)
        test = fill(submit_page(), creator_name="Ada", gender="f", lipsync_input=str(path))
        assert test.error
        assert test.button(key="submit_send").disabled
        test.checkbox[0].check().run()
        assert not test.button(key="submit_send").disabled

    def test_what_was_typed_survives_a_reload(self) -> None:
        """A new tab, or the same after a reload or restart, shows the draft."""
        fill(submit_page(), creator_name="Ada", gender="f", keywords="a, b", labels="x")
        running.close()
        test = submit_page()
        assert test.text_input(key="submit_creator_name").value == "Ada"
        assert test.text_input(key="submit_keywords").value == "a, b"
        assert test.button_group(key="submit_gender").value == "f"

    def test_a_submission_is_sent_and_the_form_is_empty(self, talking_head: Path) -> None:
        """Submit sends what stands in the form, says the id, and clears the form."""
        test = fill(
            submit_page(),
            creator_name="Ada",
            gender="f",
            labels="sandbox:done, mine",
            lipsync_input=str(talking_head),
        )
        test.button(key="submit_send").click().run()
        outbox = running.get().outbox
        [parcel] = outbox.parcels()
        outbox.wait(parcel.submission.submission_id, 20)
        test.run()
        [parcel] = outbox.parcels()
        assert parcel.submission.state == "accepted", parcel.error
        assert any(str(parcel.submission.persona_id) in success.value for success in test.success)
        assert test.text_input(key="submit_creator_name").value == ""
        row = running.get().session.store.personas().iloc[0]
        assert row["labels"] == ["sandbox:done", "mine"]

    def test_a_sample_video_is_made(self) -> None:
        """In the sandbox somebody without a video can have one made, and it is fine."""
        test = submit_page()
        test.button(key="submit_sample").click().run(timeout=60)
        path = Path(test.text_input(key="submit_lipsync_input").value)
        assert path.stat().st_size > 100_000
        assert not test.error

    def test_a_twin_has_to_be_wanted(self) -> None:
        """Another avatar of the same name needs a tick, as plans allow only a few."""
        test = submit_page()
        submitted()
        fill(test, creator_name="Ada", gender="f")
        assert "Ada was submitted" in texts(test)
        assert test.button(key="submit_send").disabled
        test.checkbox[0].check().run()
        assert not test.button(key="submit_send").disabled

    def test_a_refused_submission_goes_back_into_the_form(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After a refusal everything that was typed can be put back."""
        test = fill(submit_page(), creator_name="Ada", gender="nb", labels="a, b")

        def refuse(*_: object, **__: object) -> None:
            raise avatarkit.errors.ConfigError("The plan is full.")

        monkeypatch.setattr(running.get().session.client, "create_persona", refuse)
        test.button(key="submit_send").click().run()
        patiently(test, lambda: len(test.error) > 0)
        assert "The plan is full." in test.error[0].value
        # After a restart, too.
        running.close()
        test = submit_page()
        assert "The plan is full." in test.error[0].value
        [parcel] = running.get().outbox.parcels()
        test.button(key=f"submit_again_{parcel.submission.submission_id}").click().run()
        assert test.text_input(key="submit_creator_name").value == "Ada"
        assert test.text_input(key="submit_labels").value == "a, b"
        assert test.button_group(key="submit_gender").value == "nb"

    def test_the_plan_is_shown_and_a_full_one_said(self) -> None:
        """How much of the plan is used stands above the button, and when it is full."""
        tracker = running.get().session.tracker
        tracker.stop()
        tracker.quota = Quota(max_count=3, current_count=2)
        assert "2 of 3 avatars" in texts(submit_page())
        tracker.quota = Quota(max_count=3, current_count=3)
        assert "Delete one" in texts(submit_page())


class TestUncertain:
    def test_a_person_settles_it_on_the_page(self) -> None:
        """An uncertain create is shown with what it may be; a click settles it."""
        session = running.get().session
        store = session.store
        session.tracker.stop()
        sent_at, ids = session.clock.now(), []
        for _ in range(2):
            ids.append(store.prepare(PersonaCreate(creator_name="Ada", gender="f"), sent_at))
            store.sending(ids[-1], sent_at)
        made = session.client.create_persona(PersonaCreate(creator_name="Ada", gender="f"))
        # An hour of this clock is 36 ms: what broke before the create would not fit a slow one.
        broke_at = session.clock.now()
        for submission_id in ids:
            store.uncertain(submission_id, broke_at, "It broke.")
        session.tracker.reconcile()
        test = page(_tracker)
        assert "not certain whether Ada was created" in texts(test)
        test.button(key=f"tracker_settle_{ids[0]}_{made.id}").click().run()
        test.button(key=f"tracker_settle_{ids[1]}_never").click().run()
        assert not test.exception
        assert list(store.submissions()["state"].sort_values()) == ["accepted", "refused"]
        assert "not certain" not in texts(test)

    def test_a_person_may_name_what_the_list_hides(self) -> None:
        """Without a candidate the id can be typed; a wrong one is a sentence."""
        session = running.get().session
        store = session.store
        session.tracker.stop()
        submission_id = store.prepare(
            PersonaCreate(creator_name="Ada", gender="f"), session.clock.now()
        )
        store.sending(submission_id, session.clock.now())
        store.uncertain(submission_id, session.clock.now() + timedelta(days=9), "It broke.")
        other = session.client.create_persona(PersonaCreate(creator_name="Renamed", gender="f"))
        test = page(_tracker)
        key = f"tracker_settle_{submission_id}"
        assert f"{key}_never" not in [button.key for button in test.button]
        for given, said in (("nobody", "no such persona"), (other.id, "")):
            test.text_input(key=f"{key}_id").set_value(given)
            [send] = [one for one in test.button if one.label == "It is this one"]
            send.click().run()
            assert said in texts(test)
        assert store.submissions()["persona_id"].tolist() == [other.id]
        assert "not certain" not in texts(test)

    def test_a_name_that_may_be_there_has_to_be_wanted_again(self) -> None:
        """An uncertain create counts as a twin: sent again it could be made twice."""
        session = running.get().session
        session.tracker.stop()
        submission_id = session.tracker.prepare(PersonaCreate(creator_name="Ada", gender="f"))
        session.store.sending(submission_id, session.clock.now())
        session.store.uncertain(submission_id, session.clock.now(), "It broke.")
        test = fill(submit_page(), creator_name="Ada", gender="f")
        assert "may have been created" in texts(test)
        assert test.button(key="submit_send").disabled


class TestTracker:
    def test_without_avatars_it_says_so(self) -> None:
        """An empty tracker invites to submit."""
        assert "No avatars yet" in texts(page(_tracker))

    def test_the_table_and_the_details(self) -> None:
        """The tracker's thread follows; table and details read the store."""
        persona_id = submitted("sandbox:failed")
        ended(persona_id)
        test = page(_tracker)
        assert not test.exception
        table = test.dataframe[0].value
        assert list(table["persona_id"]) == [persona_id]
        assert list(table["status"]) == ["Failed"]
        reason = running.get().session.store.personas().iloc[0]["failed_reason"]
        assert reason in texts(test)
        assert {metric.label: metric.value for metric in test.metric}["Failed"] == "1"

    def test_filter_by_status(self) -> None:
        """The pills show only personas of the chosen statuses."""
        done, _ = lived(1, running=1)
        test = page(_tracker)
        test.button_group(key="tracker_statuses").set_value(["done"]).run()
        assert list(test.dataframe[0].value["persona_id"]) == [done]
        assert "Is mine late?" not in charts_of(test)

    def test_a_chosen_status_stays_chosen_when_nobody_is_in_it(self) -> None:
        """The table of it is empty then, and not that of all."""
        _, going = lived(1, running=1)
        test = page(_tracker)
        test.button_group(key="tracker_statuses").set_value(["reviewing"]).run()
        store, now = running.get().session.store, running.get().session.clock.now()
        store.record(
            Persona(id=going, process_status="done"),
            asked_at=now,
            answered_at=now,
            source="poll",
        )
        test.run()
        assert test.button_group(key="tracker_statuses").value == ["reviewing"]
        assert test.dataframe[0].value.empty

    def test_an_id_that_nobody_has_is_said(self) -> None:
        """A link to it shows no other avatar as if it were that one without a word."""
        lived(1)
        test = AppTest.from_function(_tracker, default_timeout=30)
        test.secrets["unused"] = "x"
        test.query_params["persona"] = "nobody"
        assert "no avatar nobody" in texts(test.run())

    def test_a_link_leads_to_one_avatar_and_a_choice_to_another_link(self) -> None:
        """Two may have the same name, so the link has the id; what is chosen stays chosen."""
        ids = lived(3)
        test = AppTest.from_function(_tracker, default_timeout=30)
        test.secrets["unused"] = "x"
        test.query_params["persona"] = ids[2]
        test.run()
        assert test.selectbox(key="tracker_persona").value == ids[2]
        test.selectbox(key="tracker_persona").set_value(ids[1]).run()
        assert test.query_params["persona"] in (ids[1], [ids[1]])
        test.run()
        assert test.selectbox(key="tracker_persona").value == ids[1]
        assert "no avatar" not in texts(test)

    def test_coming_back_by_the_same_link_leads_to_the_same_avatar(self) -> None:
        """Away from the page Streamlit forgets the choice, and not that the link was followed."""
        ids = lived(3)
        test = AppTest.from_function(_tracker, default_timeout=30)
        test.secrets["unused"] = "x"
        test.query_params["persona"] = ids[2]
        test.session_state["tracker_linked"] = ids[2]
        test.run()
        assert test.selectbox(key="tracker_persona").value == ids[2]

    def test_who_is_gone_can_be_looked_for_again(self) -> None:
        """What the API knew no more may have come back."""
        [persona_id] = lived(0, running=1)
        store, now = running.get().session.store, running.get().session.clock.now()
        for hours in (0, 3, 7):
            at = now + timedelta(hours=hours)
            store.record_error(persona_id, "404", at=at, missing=True)
        test = page(_tracker)
        assert "knows this avatar no more" in texts(test)
        test.button(key=f"tracker_again_{persona_id}").click().run()
        assert not test.exception
        assert not store.personas().iloc[0]["gone"]
        assert store.next_look_at(persona_id) is not None

    def test_names_and_reasons_are_not_read_as_markdown(self) -> None:
        """They are shown as they are: no picture of them is fetched."""
        name, reason = "![x](http://127.0.0.1:9/p.png) *Ada* :red[x] $y$", "1. [a](b) `c` <b>"
        session = running.get().session
        session.tracker.stop()
        now = session.clock.now()
        session.store.record(
            Persona(id="a", creator_name=name, process_status="failed", failed_reason=reason),
            asked_at=now,
            answered_at=now,
            source="list",
        )
        test = page(_tracker)
        assert text.plain(name) in test.subheader[0].value
        assert text.plain(reason) in test.error[0].value
        assert texts(test).count(reason) == 1
        assert text.plain("- a\n+ b: c_d") == "\\- a\n\\+ b\\: c\\_d"

    def test_no_rerun_calls_the_api(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Pages read the store: whatever they show, the client is not touched."""
        lived(3, running=2)
        session = running.get().session

        def fail(*_: object, **__: object) -> None:
            raise AssertionError("a rerun called the API")

        for name in ("get_persona", "list_personas", "persona_quota", "create_persona"):
            monkeypatch.setattr(session.client, name, fail)
        for shown in (submit_page(), page(_tracker), page(_stage_times), page(_settings)):
            assert not shown.exception
            assert "This page failed" not in texts(shown)

    def test_when_each_is_ready_and_which_are_late(self) -> None:
        """Running ones have a range and a mark when late, in the table, a chart and the details."""
        ids = lived(8, running=3, late=1)
        test = page(_tracker)
        patiently(test, lambda: "late" in set(test.dataframe[0].value["late"]))
        assert not test.exception
        rows = test.dataframe[0].value.set_index("persona_id")
        assert list(rows.index[rows["late"] == "late"]) == [ids[8]]
        assert (rows.loc[ids[8:], "ready"] != "").all()
        assert set(rows.loc[ids[:8], "ready"]) == {""}
        assert charts_of(test) == ["Is mine late?", "What happened to this avatar?"]

        test.selectbox(key="tracker_persona").set_value(ids[8]).run()
        assert "Late: it has been in Reviewing for at least" in texts(test)
        assert re.search(r"Ready .* in 8 of 10 cases|may be ready .* in 9 of 10 cases", texts(test))
        assert "Chance of done" in texts(test)
        assert "(8 finished avatars)" in texts(test)
        test.selectbox(key="tracker_persona").set_value(ids[9]).run()
        assert "Late: " not in texts(test)
        test.selectbox(key="tracker_persona").set_value(ids[0]).run()
        assert "Ready" not in texts(test)

    def test_without_history_it_is_the_vendors_claim(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Before anything has ended a range is shown, and called what it is."""
        lived(0, running=1)
        with monkeypatch.context() as early:
            early.setattr(cache.Estimates, "arrivals", lambda *_: None)
            assert "Basis" not in texts(page(_tracker))
        test = page(_tracker)
        patiently(test, lambda: "Basis" in texts(test))
        assert "Basis: the vendor's claim, not your data." in texts(test)
        assert "Chance of done" not in texts(test)


class TestStageTimes:
    def test_without_visits_it_says_so(self) -> None:
        """Without avatars there is nothing to show."""
        assert "No stage times yet" in texts(page(_stage_times))

    def test_few_visits_are_not_enough(self) -> None:
        """One persona gives ranges, counts and "not enough yet", no percentile."""
        lived(1)
        test = page(_stage_times)
        patiently(test, lambda: "The log is certain" in texts(test))
        assert not test.exception
        table = test.dataframe[0].value
        assert len(table) == 6
        assert set(table["p50"]) == {""}
        assert table["note"].str.contains("not enough").any()
        assert charts_of(test) == ["How long does each stage take?"]
        assert "The log is certain of the stage for" in texts(test)

    def test_how_sure_the_medians_are_on_request(self) -> None:
        """A toggle adds the interval of each median, and what it takes is worked out once."""
        lived(12)
        test = page(_stage_times)
        patiently(test, lambda: len(test.dataframe) > 0)
        assert "p50_interval" not in test.dataframe[0].value
        test.toggle(key="stage_times_sure").set_value(True).run()
        patiently(test, lambda: "p50_interval" in test.dataframe[0].value)
        assert not test.exception

    def test_the_fit_beside_what_was_counted_on_request(self) -> None:
        """A toggle draws both curves of the stage that is chosen, or says why there is one only."""
        lived(12)
        test = page(_stage_times)
        patiently(test, lambda: len(test.dataframe) > 0)
        test.toggle(key="stage_times_check").set_value(True).run()
        patiently(test, lambda: "Does the fit agree with what was counted?" in charts_of(test))
        chosen = test.selectbox(key="stage_times_check_stage")
        chosen.set_value("reviewing").run()
        assert not test.exception
        assert chosen.value == "reviewing"

    @pytest.mark.parametrize(
        ("question", "chart", "said"),
        [
            ("Ends", "How do they end, and when?", "8 done, 0 failed, 0 rejected"),
            ("In flight", "How much is in flight?", "At the end of each day"),
            ("Waiting times", "Did waiting times change?", "80 % range"),
        ],
    )
    def test_each_question_has_its_chart(self, question: str, chart: str, said: str) -> None:
        """One question is open at a time, with its chart and a sentence."""
        lived(8, running=2)
        test = page(_stage_times)
        test.session_state["stage_times_question"] = question
        test.run()
        patiently(test, lambda: said in texts(test))
        assert not test.exception
        assert charts_of(test) == [chart]

    @pytest.mark.parametrize("question", ["Stages", "Ends", "Waiting times"])
    def test_what_takes_long_is_waited_for_in_words(
        self, question: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While an estimate is being worked out the page says so, and does not stand still."""
        lived(1)
        for name in ("stage_times", "ends", "kept_word"):
            monkeypatch.setattr(cache.Estimates, name, lambda *_: None)
        test = page(_stage_times)
        test.session_state["stage_times_question"] = question
        test.run()
        assert not test.exception
        assert "Still working it out" in texts(test)

    def test_without_an_end_there_are_no_curves(self) -> None:
        """While all are running, the page says so instead of an empty chart."""
        lived(0, running=2)
        test = page(_stage_times)
        test.session_state["stage_times_question"] = "Ends"
        test.run()
        patiently(test, lambda: "No avatar has ended yet." in texts(test))
        assert charts_of(test) == []


class TestSettings:
    def test_it_says_what_is_connected(self) -> None:
        """Mode, base URL, masked id, database and the living tracker; never the key."""
        test = page(_settings)
        assert not test.exception
        shown = json.dumps(test.table[0].value.to_dict(), default=str)
        session = running.get().session
        assert session.client.base_url in shown
        assert "alive" in shown
        assert session.client.api_id not in shown
        assert session.sandbox is not None
        assert session.sandbox.api_key not in shown

    @pytest.mark.parametrize(("api_id", "shown"), [("abc", "…"), ("abcd-1234-xy", "abcd…xy")])
    def test_ids_are_masked(self, api_id: str, shown: str) -> None:
        """Enough of an id to recognise it, not enough to use it."""
        assert settings.masked(api_id) == shown


class TestTrouble:
    def test_the_sandbox_of_another_process_is_taken_over(self, tmp_path: Path) -> None:
        """When who served it has ended, the app serves it itself and goes on."""
        folder = running.get().session.settings.folder / "api"
        running.close()
        other = Sandbox(folder, speed=50).start()
        try:
            test = submit_page()
            assert "50 times as fast" in texts(test)
            assert running.get().session.sandbox is not other
            submitted()
        finally:
            other.stop()
        test = submit_page()
        assert not test.error
        assert len(running.get().session.store.personas()) == 1
        assert running.get().session.client.persona_quota().current_count == 1

    def test_one_key_alone_is_a_sentence_on_the_page(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A wrong setting is said on the page; mended, the next rerun works."""
        monkeypatch.setenv("AVATARKIT_API_ID", "only-one")
        test = submit_page()
        assert not test.exception
        assert "AVATARKIT_API_KEY" in texts(test)
        monkeypatch.delenv("AVATARKIT_API_ID")
        assert not test.run().error

    def test_a_database_that_cannot_be_opened(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """A database that does not open is a sentence on the page."""
        monkeypatch.setenv("AVATARKIT_DATABASE_URL", f"sqlite:///{tmp_path}/no/such/dir/x.db")
        assert "cannot be opened" in submit_page().error[0].value


class TestDraft:
    def test_an_upload_is_kept_on_disk_under_a_safe_name(self, tmp_path: Path) -> None:
        """An upload is copied in full; its name cannot leave the folder."""
        source = tmp_path / "source"
        source.write_bytes(b"x" * 3_000_000)
        with source.open("rb") as content:
            path = draft.keep_upload(tmp_path / "uploads", "../../ev/il name.mp4", content)
        assert path.parent.parent == tmp_path / "uploads"
        assert path.read_bytes() == source.read_bytes()
        assert path.name == "il name.mp4"
        draft.forget_upload(tmp_path / "uploads", path)
        assert list((tmp_path / "uploads").iterdir()) == []
        draft.forget_upload(tmp_path / "uploads", source)
        assert source.exists()

    @pytest.mark.parametrize("content", ["", "{", "[1]", '{"creator_name": null}'])
    def test_a_broken_draft_is_no_draft(self, tmp_path: Path, content: str) -> None:
        """A draft that cannot be read is an empty form, not an error."""
        (tmp_path / "draft.json").write_text(content)
        assert draft.load(tmp_path) == {}
