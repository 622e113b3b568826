"""Videos that are uploaded to the sandbox: streamed to disk and served again."""

from __future__ import annotations

import errno
import io
import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import httpx
import numpy as np
import pytest

from avatarkit import Client, PersonaCreate
from avatarkit.sandbox import Behaviour, Sandbox
from avatarkit.sandbox.behaviour import TruncatedBody
from avatarkit.sandbox.web import request_body
from support.sandbox_client import ADA, COUNT, FILES, client_of, stop, until

if TYPE_CHECKING:
    from support.manual_clock import ManualClock

BOUNDARY = "multipart/form-data; boundary=b"


def multipart(fields: dict[str, str], *, file: bool = False) -> bytes:
    """Return parts of a body: those of ``fields``, then one of a file; no last boundary."""
    head = b'--b\r\nContent-Disposition: form-data; name="%s"'
    parts = [
        head % name.encode() + b"\r\n\r\n" + value.encode() + b"\r\n"
        for name, value in fields.items()
    ]
    if file:
        footage = b"x" * 4_000_000 + b"\r\n"
        parts.append(head % b"lipsync_input" + b'; filename="a.mp4"\r\n\r\n' + footage)
    return b"".join(parts)


@contextmanager
def broken_off(sandbox: Sandbox, body: bytes) -> Iterator[socket.socket]:
    """Send the head of a create and ``body``, a part of what was announced, then hang up."""
    head = (
        f"POST {FILES} HTTP/1.1\r\nHost: x\r\nX-API-ID: {sandbox.api_id}\r\n"
        f"X-API-KEY: {sandbox.api_key}\r\nContent-Type: {BOUNDARY}\r\n"
        "Content-Length: 9000000\r\n\r\n"
    )
    host, port = sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:
        line.sendall(head.encode() + body)
        until(lambda: any(path.is_file() for path in left_behind(sandbox)))
        yield line


def upload(api: httpx.Client, **files: Any) -> dict[str, Any]:
    """Return the answer to a create with these files that asks to end as done."""
    answer = api.post(FILES, data={**ADA, "labels": ["sandbox:done"]}, files=files)
    assert answer.status_code == 201, answer.text
    return cast(dict[str, Any], answer.json())


def left_behind(sandbox: Sandbox) -> list[Path]:
    """All files that belong to a persona or came in, in the folder of that sandbox.

    Without the check results, which come at a time of their own.
    """
    places = (sandbox.folder / "personas", sandbox.folder / "incoming")
    found = [path for place in places for path in place.rglob("*")]
    return [path for path in found if "video_check" not in path.name]


class TestArriving:
    """From the body to the disk."""

    def test_a_file_arrives_whole_and_is_served_again(
        self, api: httpx.Client, served: Sandbox
    ) -> None:
        """Bytes of any kind and length come back from lipsync_input_url as they were sent."""
        content = np.random.default_rng(1).bytes(3 * 1024 * 1024 + 17) + b"\r\n--b\r\n"
        created = upload(api, lipsync_input=("../../x.MP4", content, "video/mp4"))
        url = created["lipsync_input_url"]
        assert url == created["lipsync_input"]
        answer = httpx.get(url, trust_env=False)
        assert (answer.content == content, answer.headers["content-type"]) == (True, "video/mp4")
        part = httpx.get(url, headers={"Range": "bytes=1-3"}, trust_env=False)
        assert (part.status_code, part.content) == (206, content[1:4])
        names = {path.name for path in left_behind(served)}
        assert names == {created["id"], "lipsync_input.mp4", "persona.json"}

    @pytest.mark.parametrize(
        ("name", "declared"),
        [
            ("a.mov", "video/quicktime"),
            ("a.html", "application/octet-stream"),
            ("a", "application/octet-stream"),
        ],
    )
    def test_a_file_is_served_as_nothing_that_runs(
        self, api: httpx.Client, name: str, declared: str
    ) -> None:
        """Whatever it was called and declared, it is a video or just bytes."""
        created = upload(api, consent_video=(name, b"<script>", "text/html"))
        answer = httpx.get(created["consent_video"], trust_env=False)
        assert answer.headers["content-type"] == declared
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert created["lipsync_input"] is None

    @pytest.mark.parametrize("name", ["persona.json", "..%2F..%2Fkeys.json", "x.mp4"])
    def test_nothing_else_is_served(self, api: httpx.Client, name: str) -> None:
        """Only the videos and stills of a persona, and only of those that exist."""
        created = upload(api, lipsync_input=("a.mp4", b"x"))
        assert api.get(f"/media/{created['id']}/{name}").status_code == 404
        assert api.get("/media/unknown/lipsync_input.mp4").status_code == 404

    def test_deleting_removes_the_files(self, api: httpx.Client, served: Sandbox) -> None:
        """After DELETE nothing of a persona is left on disk."""
        created = upload(api, lipsync_input=("a.mp4", b"x"))
        api.delete(f"/api/personas/{created['id']}/")
        assert left_behind(served) == []
        assert api.get(created["lipsync_input"]).status_code == 404

    def test_the_last_of_several_counts(self, api: httpx.Client, served: Sandbox) -> None:
        """As Django does with a field that comes twice."""
        files = [("lipsync_input", (f"{n}.mov", n.encode())) for n in ("first", "second")]
        answer = api.post(FILES, data=ADA, files=files)
        assert httpx.get(answer.json()["lipsync_input"], trust_env=False).content == b"second"
        assert len(left_behind(served)) == 3

    def test_files_of_other_fields_are_dropped(self, api: httpx.Client, served: Sandbox) -> None:
        """They are read and written nowhere."""
        upload(api, portrait=("a.mp4", b"x" * 100))
        assert [path.name for path in left_behind(served)][1:] == ["persona.json"]

    def test_an_input_that_was_left_empty_is_no_file(self, api: httpx.Client) -> None:
        """Browsers send such an input as a part with an empty name."""
        assert upload(api, lipsync_input=("", b""))["lipsync_input"] is None

    def test_an_empty_file_is_refused(self, api: httpx.Client, served: Sandbox) -> None:
        """400 in the framework's words."""
        answer = api.post(FILES, data=ADA, files={"lipsync_input": ("a.mp4", b"")})
        assert answer.json() == {"lipsync_input": ["The submitted file is empty."]}
        assert left_behind(served) == []

    @pytest.mark.parametrize(
        ("declared", "body", "message"),
        [
            ("multipart/form-data", b"x", "Missing boundary in multipart."),
            (f"{BOUNDARY}{'b' * 300}", b"x", "Boundary length"),
            (BOUNDARY, b"--c\r\n", "Expected boundary character"),
            (
                BOUNDARY,
                b'--b\r\nContent-Disposition: form-data; name="lipsync_input"; filename="a.mp4"'
                b"\r\n\r\nhalf of it",
                "The body ends before its last boundary",
            ),
            (
                BOUNDARY,
                b"--b\r\nContent-Disposition: form-data\r\n\r\n",
                'The Content-Disposition header field "name" must be provided.',
            ),
        ],
    )
    def test_a_malformed_body_is_said(
        self, api: httpx.Client, served: Sandbox, declared: str, body: bytes, message: str
    ) -> None:
        """400 with what is wrong, and nothing is left."""
        answer = api.post(FILES, content=body, headers={"Content-Type": declared})
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(f"Multipart form parse error - {message}")
        assert left_behind(served) == []

    @pytest.mark.parametrize("charset", ["idna", "undefined", "hex", "unicode_escape"])
    def test_an_odd_charset_is_no_server_error(self, api: httpx.Client, charset: str) -> None:
        """Whatever codec the content type names, the answer is a 201 or a 400."""
        body = multipart({**ADA, "keywords": "\\x.."}) + b"--b--\r\n"
        headers = {"Content-Type": f"{BOUNDARY}; charset={charset}"}
        assert api.post(FILES, content=body, headers=headers).status_code in (201, 400)

    def test_many_files_are_refused(self, api: httpx.Client, served: Sandbox) -> None:
        """More files than Django takes are a 400, and none of them is left."""
        files = [("lipsync_input", ("a.mp4", b"x"))] * 101
        answer = api.post(FILES, data=ADA, files=files)
        assert (answer.status_code, "Too many files" in answer.text) == (400, True)
        assert left_behind(served) == []

    @pytest.mark.parametrize("stopped", [False, True], ids=["by the client", "by stop"])
    def test_an_upload_that_breaks_off_leaves_nothing(
        self, served: Sandbox, caplog: pytest.LogCaptureFixture, stopped: bool
    ) -> None:
        """No persona, no file and no complaint when the connection ends in the middle."""
        with (
            caplog.at_level(logging.WARNING),
            broken_off(served, multipart(ADA, file=True)) as line,
        ):
            folder = served.folder
            if stopped:
                stop(served)
                assert not folder.exists()
            else:
                line.close()
                until(lambda: left_behind(served) == [])
                served.stop()
        assert not [each for each in caplog.records if each.levelno >= logging.WARNING]

    @pytest.mark.parametrize(
        ("truncated_body", "body", "made"),
        [
            ("refused", multipart(ADA, file=True), 0),
            ("taken", multipart(ADA, file=True), 1),
            ("taken", multipart({"gender": "f"}, file=True), 0),
        ],
        ids=["refused", "taken", "taken before the required fields"],
    )
    def test_a_body_that_breaks_off_can_be_taken(
        self, manual_clock: ManualClock, truncated_body: TruncatedBody, body: bytes, made: int
    ) -> None:
        """By default nothing is made; as behind gunicorn, a persona without its last file."""
        behaviour = Behaviour(truncated_body=truncated_body)
        with Sandbox(clock=manual_clock, behaviour=behaviour) as sandbox:
            with broken_off(sandbox, body):
                assert list((sandbox.folder / "incoming").iterdir())
            until(lambda: not list((sandbox.folder / "incoming").iterdir()))
            with client_of(sandbox) as api:
                assert api.get(COUNT).json()["current_count"] == made
                assert api.get(FILES).json() == [] or made
            assert {path.name for path in left_behind(sandbox) if path.is_file()} == (
                {"persona.json"} if made else set()
            )

    def test_a_body_without_its_last_boundary_can_be_taken(self, manual_clock: ManualClock) -> None:
        """What arrived of the last text is kept, and a file before it that arrived whole."""
        content = multipart({}, file=True) + multipart(ADA) + multipart({"keywords": "half"})[:-4]
        behaviour = Behaviour(truncated_body="taken")
        with Sandbox(clock=manual_clock, behaviour=behaviour) as sandbox, client_of(sandbox) as api:
            answer = api.post(FILES, content=content, headers={"Content-Type": BOUNDARY})
            assert (answer.status_code, answer.json()["keywords"]) == (201, "ha")
            assert answer.json()["lipsync_input"].endswith("lipsync_input.mp4")

    def test_the_answer_to_a_refused_upload_arrives(self, served: Sandbox, tmp_path: Path) -> None:
        """Also with a wrong key and a full plan a client that is still sending gets its answer."""
        video = tmp_path / "a.mp4"
        video.write_bytes(b"x" * 8_000_000)
        with video.open("rb") as file:
            answer = httpx.post(served.url + FILES, files={"lipsync_input": file}, trust_env=False)
        assert answer.status_code == 401

    def test_a_full_disk_is_said_and_leaves_nothing(
        self,
        api: httpx.Client,
        served: Sandbox,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """500 for the client, one sentence in the log, and no half persona."""

        class Full(io.FileIO):
            def write(self, _: Any) -> int:
                raise OSError(errno.ENOSPC, "No space left on device")

        def open_full(path: Path, *_: Any, **__: Any) -> IO[bytes]:
            return cast(IO[bytes], Full(path, "w"))

        with monkeypatch.context() as patch:
            patch.setattr(request_body.Path, "open", open_full)
            answer = api.post(FILES, data=ADA, files={"lipsync_input": ("a.mp4", b"x" * 99)})
        assert answer.status_code == 500
        assert caplog.messages == ["The sandbox cannot use its folder: No space left on device."]
        assert left_behind(served) == []
        assert upload(api)["process_status"] == "pending"

    def test_the_client_of_avatarkit_gets_its_files_there(
        self, served: Sandbox, clip: Path
    ) -> None:
        """Client and sandbox agree on files, labels and a scene of any letters."""
        wanted = PersonaCreate(
            gender="f",
            creator_name="Žofie 🎬",
            video_scene="café",
            labels=["a", "b"],
            lipsync_input=clip,
            consent_video=clip,
        )
        with Client(served.url, served.api_id, served.api_key) as client:
            persona = client.create_persona(wanted)
            assert (persona.creator_name, persona.video_scene) == ("Žofie 🎬", "café")
            assert persona.labels == ["a", "b"]
            assert [each.id for each in client.list_personas()] == [persona.id]
        answer = httpx.get(str(persona.consent_video), trust_env=False)
        assert answer.content == clip.read_bytes()


def test_a_record_is_json_that_anyone_can_read(
    api: httpx.Client, served: Sandbox, clip: Path
) -> None:
    """What is kept of a persona names its files and its script."""
    created = upload(api, lipsync_input=("a.mp4", clip.read_bytes()))
    place = served.folder / "personas" / created["id"]
    record = json.loads((place / "persona.json").read_text("utf-8"))
    assert record["videos"] == {"lipsync_input": "lipsync_input.mp4"}
    assert record["script"]["end"] == "done"
