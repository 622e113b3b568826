"""The body of a create with files: its order, its names, and files that change meanwhile."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from avatarkit import Client, PersonaCreate, Store, Tracker, errors
from avatarkit.api.multipart import open_parts
from avatarkit.sandbox import Behaviour
from avatarkit.sandbox.error_responses import ErrorResponse
from avatarkit.sandbox.web.request_body import MULTIPART, read_body
from avatarkit.sandbox.web.validation import validate

MEBIBYTE = 1024 * 1024


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "Ada Lovelace, 2nd take.MP4"
    path.write_bytes(b"\0" * 1_000)
    return path


def full_request(video: Path) -> PersonaCreate:
    consent = video.with_name("Ada agrees.mov")
    consent.write_bytes(b"\1" * 1_000)
    return PersonaCreate(
        creator_name="Ada Lovelace",
        gender="f",
        video_scene="office",
        labels=["a", "b"],
        lipsync_input=video,
        consent_video=consent,
        extra={"voice": "x", "speeds": [1, 2.5], "fast": True, "none": None},
    )


def sent(request: PersonaCreate) -> httpx.Request:
    """Return the request that the client sends for a create."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        requests.append(request)
        return httpx.Response(201, json={"id": "p1"})

    with Client("https://a.example", "i", "k", transport=httpx.MockTransport(answer)) as client:
        client.create_persona(request)
    return requests[0]


def test_files_go_first_and_the_required_fields_last(video: Path) -> None:
    """A body that breaks off has no gender, whatever else of it has arrived."""
    names = re.findall(rb'; name="(\w+)"', sent(full_request(video)).content)
    assert b" ".join(names).decode() == (
        "lipsync_input consent_video video_scene labels labels voice speeds speeds fast none "
        "creator_name gender"
    )


def test_extra_fields_go_as_json_writes_them(video: Path) -> None:
    """Texts are sent as they are, other values as JSON, None as an empty text."""
    body = sent(full_request(video)).content
    for name, value in [("voice", "x"), ("speeds", "2.5"), ("fast", "true"), ("none", "")]:
        assert f'name="{name}"\r\n\r\n{value}\r\n--'.encode() in body
    by_url = PersonaCreate(creator_name="Ada", gender="f", extra={"fast": True, "speeds": [1, 2]})
    assert b'"fast":true,"speeds":[1,2]' in sent(by_url).content


@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        (".mp4", "footage.mp4"),
        (".M4V", "footage.mp4"),
        (".MOV", "footage.mov"),
        (".qt", "footage.mov"),
        ("", "footage.mp4"),
    ],
)
def test_the_local_name_of_a_file_stays_here(video: Path, suffix: str, name: str) -> None:
    """Files travel as footage and consent, with the suffix of their kind."""
    path = video.rename(video.with_name(f"{'long' * 50}{suffix}"))
    request = PersonaCreate(creator_name="Ada", gender="f", lipsync_input=path, consent_video=path)
    body = sent(request).content
    names = re.findall(rb'filename="([^"]*)"', body)
    assert names == [name.encode(), name.replace("footage", "consent").encode()]
    assert b"longlong" not in body
    assert body.count(b"video/quicktime" if name.endswith("mov") else b"video/mp4") == 2


def test_a_drive_link_goes_as_json_or_with_the_consent_file(video: Path) -> None:
    """gdown_url is a field of both creates; the one with a file takes it as a text."""
    link = "https://drive.google.com/file/d/1/view"
    request = PersonaCreate(creator_name="Ada", gender="f", gdown_url=link)
    assert sent(request).url.path == "/api/personas/"
    assert link.encode() in sent(request).content
    with_file = sent(PersonaCreate(**{**dict(request), "consent_video": video}))
    assert with_file.url.path == "/api/personas_v2/"
    assert f'name="gdown_url"\r\n\r\n{link}\r\n'.encode() in with_file.content


@pytest.mark.long
def test_no_cut_body_makes_another_avatar_than_the_one_sent(video: Path, tmp_path: Path) -> None:
    """A server that takes every body, as Django behind gunicorn does, makes the whole or nothing.

    Half a name would make an avatar that nothing recognises, so the gender goes behind it.
    """
    with ExitStack() as stack:
        request = full_request(video)
        fields = request.fields()
        fields |= fields.pop("extra")
        parts = open_parts(fields, request.files, stack, None)
        whole = httpx.Request("POST", "https://a.example", files=parts)
        body = whole.read()
    made = []
    for length in range(len(body)):
        folder = tmp_path / f"{length}"
        folder.mkdir()
        with suppress(ErrorResponse):
            create = taken(whole, body[:length], folder)
            made.append(length)
            assert (create.creator_name, create.gender) == ("Ada Lovelace", "f")
            assert (folder / create.videos["lipsync_input"]).stat().st_size == 1_000
            assert (folder / create.videos["consent_video"]).stat().st_size == 1_000
            assert create.labels == ("a", "b")
    gender = body.rindex(b"\r\n\r\nf\r\n") + len("\r\n\r\nf")
    assert made == list(range(gender, len(body)))


def taken(whole: httpx.Request, content: bytes, folder: Path) -> Any:
    """Return the create that the sandbox reads from a body that breaks off."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    headers = [(b"content-type", whole.headers["Content-Type"].encode())]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    behaviour = Behaviour(truncated_body="taken")
    body = asyncio.run(read_body(request, folder, accepts=[MULTIPART], behaviour=behaviour))
    return validate(body, behaviour, urls=False)


class Received:
    """A server on loopback that takes creates; ``bodies`` is what arrived of each."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        # A shutdown wakes the thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        self.join()

    def join(self) -> None:
        with self._starting:
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                with self._starting:
                    thread = threading.Thread(target=self._serve, args=(connection,))
                    self._threads.append(thread)
                    thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines, suppress(OSError):
            while first := lines.readline():
                length = 0
                while (line := lines.readline()) not in (b"\r\n", b""):
                    name, _, value = line.lower().partition(b":")
                    length = int(value) if name == b"content-length" else length
                if first.startswith(b"POST"):
                    self.bodies.append(lines.read(length))
                answer = b'{"id": "p1", "max_count": 3, "current_count": 0}'
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer)
                )


@pytest.fixture
def received() -> Iterator[Received]:
    server = Received()
    yield server
    server.close()


def shrink(path: Path) -> None:
    os.truncate(path, MEBIBYTE)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0" * MEBIBYTE)


def overwrite(path: Path) -> None:
    path.write_bytes(b"\1" * 8 * MEBIBYTE)


@pytest.mark.parametrize("change", [shrink, grow, overwrite])
def test_a_file_that_changes_while_it_is_sent(
    received: Received, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """It is named as the cause; the required fields have not left, so the create is refused."""
    video = tmp_path / "v.mp4"
    video.write_bytes(b"\0" * 8 * MEBIBYTE)
    os.utime(video, (0, 0))
    changed: list[int] = []

    def progress(sent: int, _: int) -> None:
        if sent > 2 * MEBIBYTE and not changed:
            changed.append(sent)
            change(video)

    with Client(received.url, "i", "k") as client, Store("sqlite://") as store:
        tracker = Tracker(client, store)
        request = PersonaCreate(creator_name="Ada", gender="f", lipsync_input=video)
        with pytest.raises(errors.VideoUnreadable) as caught:
            tracker.submit(request, progress=progress)
        assert caught.value.path == video
        assert str(caught.value) == (
            f"lipsync_input: {video} changed while it was sent, so nothing was created; send it "
            "again when it is complete."
        )
        assert store.submissions()["state"].tolist() == ["refused"]
        # The connection is closed, and the next call finds another one.
        received.join()
        [body] = received.bodies
        assert b'name="gender"' not in body
        assert tracker.submit(request).id == "p1"


def test_a_file_that_cannot_be_read_to_its_end(
    received: Received, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails in the middle refuses the create too."""

    def fail(sent: int, _: int) -> None:
        def fstat(_: int) -> os.stat_result:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr("avatarkit.api.multipart.os", SimpleNamespace(fstat=fstat))

    request = PersonaCreate(creator_name="Ada", gender="f", lipsync_input=video)
    with (
        Client(received.url, "i", "k") as client,
        pytest.raises(errors.VideoUnreadable, match=r"to its end \(Input/output error\)"),
    ):
        client.create_persona(request, progress=fail)
