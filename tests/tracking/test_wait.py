"""What ``wait`` and ``submit`` say and draw while they run, and when they end early."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from avatarkit import Client, PersonaCreate, Store, Tracker, errors
from avatarkit.tracking import progress_bar
from support.manual_clock import ManualClock


class API:
    """An API with one persona, whose answers a test sets."""

    def __init__(self) -> None:
        self.status = "processing"
        self.fault: Exception | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a call, or fail as it is set."""
        if self.fault is not None:
            raise self.fault
        if request.url.path.endswith("/count/"):
            return httpx.Response(200, json={"max_count": 9, "current_count": 0})
        if request.method == "POST":
            request.read()
            return httpx.Response(201, json=persona("pending"))
        if request.url.path.endswith("/personas_v2/"):
            return httpx.Response(200, json=[persona(self.status)])
        return httpx.Response(200, json=persona(self.status))


def persona(status: str) -> dict[str, str]:
    """Return the persona as the API answers."""
    return {"id": "p1", "creator_name": "Ada", "process_status": status, "failed_reason": ""}


@pytest.fixture
def api() -> API:
    """Return the API that ``tracker`` calls."""
    return API()


@pytest.fixture
def tracker(api: API, manual_clock: ManualClock) -> Tracker:
    """Return a tracker of ``api`` on a manual clock."""
    transport = httpx.MockTransport(api)
    client = Client("https://api.example.com", "id", "k" * 20, transport=transport, backoff_s=0)
    return Tracker(client, Store("sqlite://"), clock=manual_clock)


def request(**values: object) -> PersonaCreate:
    """Return a create without footage."""
    return PersonaCreate(**{"creator_name": "Ada", "gender": "f"} | values)  # type: ignore[arg-type]


class TestTimeout:
    def test_it_says_since_when_it_does_not_know(
        self, tracker: Tracker, api: API, manual_clock: ManualClock
    ) -> None:
        """Without a connection nothing is known: since when, what was seen last, and why."""
        tracker.submit(request())
        with pytest.raises(errors.WaitTimeout, match="p1 is still processing after") as caught:
            tracker.wait("p1", timeout=400)
        assert caught.value.last_error is None
        seen = manual_clock.now()
        api.fault = httpx.ConnectError("refused")
        manual_clock.advance(timedelta(hours=1))
        with pytest.raises(errors.WaitTimeout) as caught:
            tracker.wait("p1", timeout=600)
        text = str(caught.value)
        assert "It is not known whether p1 has ended, as it cannot be reached since 1" in text
        assert "last seen processing at " in text
        assert str(caught.value.last_error).rstrip(".") in text
        assert text.endswith("; wait for the same id again to go on.")
        since = text.split("since ")[1][:5]
        assert f"{seen:%H:%M}" <= since <= f"{seen + timedelta(hours=1, minutes=10):%H:%M}"

    def test_it_knows_again_once_it_is_answered(
        self, tracker: Tracker, api: API, manual_clock: ManualClock
    ) -> None:
        """An error that is over is no reason for not knowing."""
        tracker.submit(request())
        api.fault = httpx.ConnectError("refused")
        with pytest.raises(errors.WaitTimeout, match="cannot be reached"):
            tracker.wait("p1", timeout=400)
        api.fault = None
        manual_clock.advance(timedelta(days=1))
        with pytest.raises(errors.WaitTimeout, match="p1 is still processing") as caught:
            tracker.wait("p1", timeout=400)
        assert caught.value.last_error is None


class TestInterrupt:
    @pytest.mark.parametrize(
        ("method", "sentence"),
        [
            ("GET", "'Ada' was not sent, as it was interrupted; send it again."),
            (
                "POST",
                "It is not known whether 'Ada' was created: it was interrupted while it was sent. "
                "Do not send it again; reconcile() finds out what became of it.",
            ),
        ],
    )
    def test_it_says_what_became_of_the_create(
        self, tracker: Tracker, api: API, method: str, sentence: str
    ) -> None:
        """Ctrl-C and the stop button end with one line on what to do."""
        answer: Callable[[httpx.Request], httpx.Response] = api.__call__

        def interrupt(request: httpx.Request) -> httpx.Response:
            if request.method == method:
                raise KeyboardInterrupt
            return answer(request)

        transport = httpx.MockTransport(interrupt)
        client = Client("https://api.example.com", "id", "k" * 20, transport=transport)
        tracker = Tracker(client, tracker.store, clock=tracker.clock)
        with pytest.raises(KeyboardInterrupt) as caught:
            tracker.submit(request())
        assert str(caught.value) == sentence

    def test_how_far_the_upload_had_come(self, tracker: Tracker, tmp_path: Path) -> None:
        """The megabytes that were sent are in the line."""
        video = tmp_path / "ada.mp4"
        video.write_bytes(bytes(3_000_000))

        def interrupt(sent: int, _: int) -> None:
            if sent >= 1_500_000:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt, match=r"interrupted after 1\.[56] of 3\.0 MB"):
            tracker.submit(request(lipsync_input=video), progress=interrupt)


class TestBar:
    def test_lines_where_nothing_can_be_drawn_again(
        self, tracker: Tracker, api: API, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        """In a log file there is a line for each tenth, and one for each stage."""
        video = tmp_path / "ada.mp4"
        video.write_bytes(bytes(1_000_000))
        tracker.submit(request(lipsync_input=video), progress=True)
        sent = capsys.readouterr().err.splitlines()
        assert 2 <= len(sent) <= 13
        assert sent[-2].endswith("Ada: 1.0 of 1.0 MB sent, waiting for the answer")
        assert sent[-1] == f"{'█' * 24} Ada: created"
        api.status = "done"
        tracker.wait("p1", timeout=3_600, progress=True)
        stages = capsys.readouterr().err.splitlines()
        assert stages[0] == f"{'░' * 24} Ada: Pending, waited 0 s"
        assert stages[-1].startswith(f"{'█' * 24} Ada: Done, waited ")

    def test_in_a_notebook_it_is_one_output_of_text(
        self, tracker: Tracker, api: API, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is updated in place, with a representation that needs no widgets."""
        shown: list[Any] = []

        class Handle:
            update = staticmethod(shown.append)

        def display(line: object, *, display_id: bool) -> Handle:
            assert display_id
            shown.append(line)
            return Handle()

        monkeypatch.setattr(progress_bar, "notebook_display", lambda: display)
        tracker.submit(request())
        api.fault = httpx.ConnectError("refused")
        with pytest.raises(errors.WaitTimeout):
            tracker.wait("p1", timeout=400, progress=True)
        api.fault, api.status = None, "done"
        tracker.wait("p1", timeout=86_400, progress=True)
        texts = list(map(repr, shown))
        assert "Pending, waited 0 s" in texts[0]
        assert any("; No " in text for text in texts), "the trouble is said beside the bar"
        assert "Done" in texts[-1]
        assert not any(hasattr(line, "_repr_html_") for line in shown)

    def test_a_terminal_gets_one_line(
        self, tracker: Tracker, api: API, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is drawn over itself, and ended."""
        written: list[str] = []
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        monkeypatch.setattr(progress_bar, "_write", written.append)
        tracker.submit(request())
        api.status = "done"
        tracker.wait("p1", timeout=3_600, progress=True)
        assert written[-1] == "\n"
        assert all(text.startswith("\r\x1b[K") for text in written[:-1])
