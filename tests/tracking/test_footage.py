"""Whether the footage of an avatar arrived: compared when it is made, and when it is found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from avatarkit import Client, PersonaCreate, Sandbox, Store, Tracker, errors
from avatarkit.sandbox import Behaviour
from support.cutting_proxy import CuttingProxy
from support.manual_clock import ManualClock
from support.sandbox_client import client_of, until

SIZE = 3_000_000
BOUNDARY = len("--") + 32 + len("--\r\n")
"""Bytes of the last boundary."""


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "v.mp4"
    path.write_bytes(b"\0" * SIZE)
    return path


def ada(**values: Any) -> PersonaCreate:
    return PersonaCreate(**{"creator_name": "Ada", "gender": "f", **values})


class Transport(httpx.BaseTransport):
    """Answers requests whose bodies have not been read, unlike ``httpx.MockTransport``."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.handle_request = answer  # type: ignore[method-assign]


def tracker_of(answer: Callable[[httpx.Request], httpx.Response], clock: ManualClock) -> Tracker:
    transport = Transport(answer)
    client = Client("https://a.example", "i", "k", transport=transport, backoff_s=0, tries=1)
    return Tracker(client, Store("sqlite://"), clock=clock)


def missing(tracker: Tracker) -> list[bool | None]:
    """Return what the frame says of each persona's footage, None for NA."""
    return [
        *tracker.store.personas()["footage_missing"].astype(object).replace({float("nan"): None})
    ]


@pytest.mark.parametrize(
    ("sent", "answered", "is_missing"),
    [
        ({}, {}, None),
        ({"lipsync_input": "file"}, {"lipsync_input": "https://x/a.mp4"}, False),
        ({"lipsync_input": "file"}, {"lipsync_input_url": "https://x/a.mp4"}, False),
        ({"lipsync_input": "file"}, {"lipsync_input": None, "lipsync_input_url": ""}, True),
        ({"lipsync_input": "file"}, {}, True),
        ({"lipsync_input": "https://x/a.mp4"}, {}, True),
        ({"gdown_url": "https://drive.google.com/file/d/1/view"}, {}, None),
        (
            {"gdown_url": "https://drive.google.com/file/d/1/view"},
            {"gdown_url": "https://drive.google.com/file/d/1/view"},
            False,
        ),
        ({"consent_video": "file"}, {}, None),
    ],
)
def test_the_answer_is_compared_with_what_was_sent(
    manual_clock: ManualClock,
    video: Path,
    sent: dict[str, str],
    answered: dict[str, Any],
    is_missing: bool | None,
) -> None:
    """An answer that names no footage although it was sent is accepted with a warning."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(201, json={"id": "p1", "process_status": "pending", **answered})

    tracker = tracker_of(answer, manual_clock)
    values = {name: video if value == "file" else value for name, value in sent.items()}
    tracker.submit(ada(**values))
    assert tracker.store.submissions()["state"].tolist() == ["accepted"]
    assert missing(tracker) == [is_missing]
    note = tracker.store.footage_note("p1")
    assert (note is not None) == (is_missing is True)
    if note is not None:
        assert note.startswith("The answer to the create names no footage; look at it")


def test_a_status_after_the_validation_proves_that_it_is_there(
    manual_clock: ManualClock, video: Path
) -> None:
    """The warning goes when the API works on the footage."""
    shown = {"id": "p1", "process_status": "pending"}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=shown)

    tracker = tracker_of(answer, manual_clock)
    tracker.submit(ada(lipsync_input=video))
    seen = []
    for status in ("video_validating", "crop_and_matte", "video_validating"):
        shown["process_status"] = status
        manual_clock.advance(timedelta(days=1))
        tracker.look()
        seen += missing(tracker)
    assert seen == [True, False, False]
    assert tracker.store.footage_note("p1") is None


class TestACutUpload:
    @pytest.mark.parametrize(
        "keep",
        [
            lambda length: length // 2,
            lambda length: length * 99 // 100,
            lambda length: length - BOUNDARY,
        ],
        ids=["at 50 %", "at 99 %", "before the last boundary"],
    )
    def test_nothing_is_made_or_it_is_said(
        self, manual_clock: ManualClock, video: Path, keep: Callable[[int], int]
    ) -> None:
        """On a server that takes cut bodies, nothing is made, or what was made has a warning."""
        with Sandbox(clock=manual_clock, behaviour=Behaviour(truncated_body="taken")) as sandbox:

            def settle() -> None:
                until(lambda: not list((sandbox.folder / "incoming").iterdir()))

            with (
                CuttingProxy(sandbox.url, keep, settle) as proxy,
                Client(proxy.url, sandbox.api_id, sandbox.api_key) as client,
                Store("sqlite://") as store,
            ):
                tracker = Tracker(client, store, clock=manual_clock)
                with pytest.raises(errors.SubmissionUncertain):
                    tracker.submit(ada(lipsync_input=video))
                made = list(client.list_personas())
                tracker.reconcile()
                assert list(store.personas()["persona_id"]) == [persona.id for persona in made]
                assert missing(tracker) == [True] * len(made)
                for persona in made:
                    note = str(store.footage_note(persona.id))
                    assert "as the connection broke after 3.0 of 3.0 MB; look at it" in note
                    folder = sandbox.folder / "personas" / persona.id
                    assert (folder / "lipsync_input.mp4").stat().st_size == SIZE

    def test_an_avatar_that_is_made_without_its_footage(
        self, manual_clock: ManualClock, video: Path
    ) -> None:
        """It is found, said, and fails in the validation."""
        with (
            Sandbox(clock=manual_clock) as sandbox,
            Client(sandbox.url, sandbox.api_id, sandbox.api_key) as client,
            Store("sqlite://") as store,
        ):
            tracker = Tracker(client, store, clock=manual_clock)
            sandbox.fail_next("closed-during-made", method="POST")
            with pytest.raises(errors.SubmissionUncertain):
                tracker.submit(ada(lipsync_input=video))
            [verdict] = tracker.reconcile()
            assert verdict.state == "accepted"
            assert missing(tracker) == [True]
            manual_clock.advance(timedelta(days=5))
            tracker.look()
            row = store.personas().iloc[0]
            assert (row["status"], row["failed_reason"]) == ("failed", "No footage was given.")
            assert missing(tracker) == [True]

    def test_a_program_that_was_interrupted(self, manual_clock: ManualClock, video: Path) -> None:
        """How far the upload had come is kept with the submission, and said when it is settled."""

        def answer(request: httpx.Request) -> httpx.Response:
            if request.method == "POST":
                request.read()
            return httpx.Response(200, json={"id": "p1", "process_status": "pending"})

        def interrupt(sent: int, _: int) -> None:
            if sent >= SIZE // 2:
                raise KeyboardInterrupt

        tracker = tracker_of(answer, manual_clock)
        with pytest.raises(KeyboardInterrupt):
            tracker.submit(ada(lipsync_input=video), progress=interrupt)
        submission_id = tracker.store.submissions()["submission_id"][0]
        tracker.settle(submission_id, "p1")
        note = str(tracker.store.footage_note("p1"))
        assert "as the program was interrupted after 1.5 of 3.0 MB; look at it" in note

    @pytest.mark.parametrize(("read_bytes", "is_missing"), [(SIZE, None), (SIZE // 2, True)])
    def test_an_answer_to_the_whole_upload_cuts_nothing(
        self, manual_clock: ManualClock, video: Path, read_bytes: int, is_missing: bool | None
    ) -> None:
        """A server that fails has had all of it, unless it answers in the middle."""

        def answer(request: httpx.Request) -> httpx.Response:
            if request.method == "POST":
                read = 0
                for chunk in cast(httpx.SyncByteStream, request.stream):
                    read += len(chunk)
                    if read > read_bytes and read_bytes < SIZE:
                        break
                return httpx.Response(504)
            return httpx.Response(200, json={"id": "p1", "process_status": "pending"})

        tracker = tracker_of(answer, manual_clock)
        with pytest.raises(errors.SubmissionUncertain) as caught:
            tracker.submit(ada(lipsync_input=video))
        tracker.settle(caught.value.submission_id, "p1")
        assert missing(tracker) == [is_missing]


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({}, "failed"),
        ({"labels": ["sandbox:done"]}, "done"),
        ({"gdown_url": "https://drive.google.com/file/d/1/view"}, None),
        ({"labels": ["mine"]}, "failed"),
    ],
)
def test_the_sandbox_fails_what_has_no_footage(
    manual_clock: ManualClock, fields: dict[str, Any], outcome: str | None
) -> None:
    """In video_validating, with a reason, unless a label asks for an outcome."""
    with Sandbox(clock=manual_clock, seed=1) as sandbox, client_of(sandbox) as api:
        for _ in range(5):
            created = api.post(
                "/api/personas_v2/", json={"creator_name": "Ada", "gender": "f", **fields}
            )
            assert created.status_code == 201
        manual_clock.advance(timedelta(days=6))
        personas = api.get("/api/personas_v2/").json()
    reasons = {persona["failed_reason"] for persona in personas}
    if outcome is not None:
        assert {persona["process_status"] for persona in personas} == {outcome}
    assert ("No footage was given." in reasons) == (outcome == "failed")
