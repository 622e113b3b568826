"""Answers that no honest server gives: each is one error of the tree, in time and in bounds."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import socket
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from avatarkit import Client, PersonaCreate, Settings, Tracker, errors
from avatarkit.api import connections
from avatarkit.models import Persona
from avatarkit.store.store import Store

KEY = "CANARY-key-that-must-never-be-shown"
REQUEST = PersonaCreate(creator_name="Ada", gender="f")
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n"

Connection = socket.socket
Answer = Callable[[Connection, threading.Event], None]
Serving = Callable[[Answer], str]


@pytest.fixture
def serve() -> Iterator[Serving]:
    """A server on loopback that hands each connection, and the test's end, to a callable."""
    over = threading.Event()
    with contextlib.ExitStack() as stack:
        stack.callback(over.set)

        def start(answer: Answer) -> str:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            listener.settimeout(0.05)

            def run() -> None:
                while not over.is_set():
                    with contextlib.suppress(TimeoutError, OSError):
                        connection, _ = listener.accept()
                        with connection, contextlib.suppress(OSError):
                            connection.recv(65_536)
                            answer(connection, over)

            thread = threading.Thread(target=run)
            thread.start()
            stack.callback(thread.join)
            stack.callback(over.set)
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield start


def dripping(begin: bytes, drop: bytes) -> Answer:
    """Send ``begin``, then ``drop`` again and again, for far longer than it may take."""

    def answer(connection: Connection, over: threading.Event) -> None:
        connection.sendall(begin)
        for _ in range(400):
            connection.sendall(drop)
            if over.wait(0.05):
                break

    return answer


def impatient(url: str) -> Client:
    settings = Settings(
        base_url=url, api_id="the-id", api_key=KEY, read_timeout_s=1, write_timeout_s=1
    )
    return Client(settings=settings, tries=1, backoff_s=0)


def mocked(handler: Callable[[httpx.Request], httpx.Response], **options: Any) -> Client:
    answers = httpx.MockTransport(handler)
    return Client("https://api.example", "the-id", KEY, transport=answers, backoff_s=0, **options)


CALLS: dict[str, Callable[[Client], object]] = {
    "get": lambda client: client.get_persona("a"),
    "list": lambda client: list(client.list_personas()),
    "quota": lambda client: client.persona_quota(),
    "delete": lambda client: client.delete_persona("a"),
    "create": lambda client: client.create_persona(REQUEST),
}

DRIPS = {
    "headers": (b"HTTP/1.1 200 OK\r\nX-A: ", b"x"),
    "informational": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "body": (CHUNKED + b"\r\n", b"1\r\n \r\n"),
    # It ends with the connection: a socket that is shut down looks like its end.
    "body without length": (OK + b'\r\n{"id": "a"}', b" "),
    # A file name in the head of gzip: bytes arrive, and nothing comes out of them.
    "gzip": (
        CHUNKED + b"Content-Encoding: gzip\r\n\r\na\r\n\x1f\x8b\x08\x08\0\0\0\0\0\x03\r\n",
        b"1\r\nx\r\n",
    ),
}


@pytest.mark.parametrize("call", ["get", "create"])
@pytest.mark.parametrize("drip", list(DRIPS))
def test_an_answer_that_drips_is_a_timeout(serve: Serving, drip: str, call: str) -> None:
    """An answer may take as long as the read timeout, however often another byte arrives."""
    client = impatient(serve(dripping(*DRIPS[drip])))
    with client, pytest.raises(errors.RequestTimeout) as caught:
        CALLS[call](client)
    assert caught.value.maybe_sent


@pytest.mark.parametrize("call", ["get", "create"])
def test_an_answer_that_drips_from_another_transport_is_a_timeout(call: str) -> None:
    """Of such a one it is not known when the request was sent: it counts from its headers on."""

    class Dripping(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for _ in range(400):
                yield b" "
                threading.Event().wait(0.05)

    settings = Settings(
        base_url="https://api.example",
        api_id="the-id",
        api_key=KEY,
        read_timeout_s=0.2,
        write_timeout_s=0.2,
    )
    answers = httpx.MockTransport(lambda _: httpx.Response(200, stream=Dripping()))
    with (
        Client(settings=settings, transport=answers, tries=1) as client,
        pytest.raises(errors.RequestTimeout),
    ):
        CALLS[call](client)


@pytest.mark.parametrize("drip", list(DRIPS))
def test_the_deadline_of_a_call_bounds_its_answer(serve: Serving, drip: str) -> None:
    """A tighter deadline than the read timeout counts, too."""
    client = Client(serve(dripping(*DRIPS[drip])), "the-id", KEY)
    with client, pytest.raises(errors.RequestTimeout):
        client.get_persona("a", deadline_s=0.3)


def test_the_answer_is_timed_from_the_end_of_the_upload(serve: Serving, tmp_path: Any) -> None:
    """An upload may take longer than an answer, whose time begins when all has been sent."""
    video = tmp_path / "video.mp4"
    video.write_bytes(b"x" * 60_000_000)

    def slowly(connection: Connection, over: threading.Event) -> None:
        while not connection.recv(400_000).endswith(b"--\r\n"):
            over.wait(0.01)
        connection.sendall(OK.replace(b"200 OK", b"201 Created") + b"Content-Length: 10\r\n\r\n")
        connection.sendall(b'{"id":"a"}')

    began = time.monotonic()
    with impatient(serve(slowly)) as client:
        request = PersonaCreate(creator_name="Ada", gender="f", lipsync_input=video)
        assert client.create_persona(request).id == "a"
    assert time.monotonic() - began > 1  # as long as the answer alone may take


def test_a_tracker_that_is_stopped_gives_up_what_it_asks(serve: Serving) -> None:
    """An app that is ended does not wait for an API that hangs; the persona has no error."""
    asked, drip = threading.Event(), dripping(*DRIPS["headers"])

    def hang(connection: Connection, over: threading.Event) -> None:
        asked.set()
        drip(connection, over)

    client = Client(serve(hang), "the-id", KEY)
    with client, Store("sqlite://") as store:
        tracker = Tracker(client, store)
        now = tracker.clock.now()
        for number in range(6):
            persona = Persona(id=f"p{number}", process_status="pending")
            store.record(persona, asked_at=now, answered_at=now, source="list")
            store.plan(persona.id, now)
        asked.clear()  # set by the question whether it is a sandbox
        tracker.start()
        assert asked.wait(20)
        began = time.monotonic()
        tracker.stop()
        assert time.monotonic() - began < 10
        assert store.personas()["last_error"].isna().all()
        assert tracker.last_error is None


def test_codings_within_codings_are_refused(serve: Serving) -> None:
    """A kilobyte that unfolds into gigabytes is not unfolded."""
    body = gzip.compress(gzip.compress(b"0" * 200_000_000, 9), 9)
    length = f"Content-Length: {len(body)}\r\n\r\n".encode()
    url = serve(lambda c, _: c.sendall(OK + b"Content-Encoding: gzip, gzip\r\n" + length + body))
    tracemalloc.start()
    try:
        with impatient(url) as client, pytest.raises(errors.UnexpectedAnswer):
            client.get_persona("a")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_one_coding_is_unfolded_within_bounds(
    serve: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What gzip unfolds counts, not what travelled; an honest answer arrives."""
    for size, fits in ((1_000, True), (1_000_000, False)):
        monkeypatch.setattr(connections, "MAX_ANSWER_BYTES", 100_000)
        body = gzip.compress(b'{"id":"a"}' + b" " * size)
        length = f"Content-Length: {len(body)}\r\n\r\n".encode()
        answer = OK + b"Content-Encoding: gzip\r\n" + length + body
        with impatient(serve(lambda c, _, answer=answer: c.sendall(answer))) as client:  # type: ignore[misc]
            if fits:
                assert client.get_persona("a").id == "a"
            else:
                with pytest.raises(errors.UnexpectedAnswer, match="has more than"):
                    client.get_persona("a")


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_huge_answers_of_many_threads_take_little_memory(serve: Serving, coding: str) -> None:
    """Of an answer about one persona a megabyte is read, and the connection is dropped."""
    body, threads = b'{"id":"a"}' + b" " * 30_000_000, 8
    sent: list[int] = []
    if coding == "gzip":
        body = gzip.compress(body)
    head = OK + f"Content-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    def answer(connection: socket.socket, _: threading.Event) -> None:
        connection.sendall(head)
        view = memoryview(body)
        for start in range(0, len(body), 65_536):
            sent.append(len(view[start : start + 65_536]))
            connection.sendall(view[start : start + 65_536])

    urls = [serve(answer) for _ in range(threads)]
    tracemalloc.start()
    try:
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(threads) as pool:
            clients = [stack.enter_context(Client(url, "the-id", KEY)) for url in urls]
            asked = [pool.submit(client.get_persona, "a") for client in clients]
            for each in asked:
                assert isinstance(each.exception(), errors.UnexpectedAnswer)
        assert tracemalloc.get_traced_memory()[1] < threads * 4_000_000
    finally:
        tracemalloc.stop()
    if coding == "identity":
        assert sum(sent) < threads * len(body) / 2


def test_a_list_may_be_longer(serve: Serving) -> None:
    """What is too much for one persona is not too much for a whole account."""
    entries = [{"id": str(number), "creator_name": "x" * 1_000} for number in range(2_000)]
    body = json.dumps(entries).encode()
    answer = OK + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    with Client(serve(lambda c, _: c.sendall(answer)), "the-id", KEY) as client:
        assert len(list(client.list_personas(deadline_s=30))) == 2_000


@pytest.mark.parametrize("call", list(CALLS))
@pytest.mark.parametrize(
    "charset", ["utf-16", "idna", "zlib", "hex", "rot13", "\\0", "undefined", "unheard-of"]
)
def test_no_charset_breaks_an_error_page(charset: str, call: str) -> None:
    """The body of an error is read as UTF-8, whatever codec the answer asks for."""
    headers = {"Content-Type": f"text/html; charset={charset}"}

    def page(_: httpx.Request) -> httpx.Response:
        return httpx.Response(500, headers=headers, content=b"<html>\xff\x00 down")

    with mocked(page, tries=1) as client, pytest.raises(errors.ServerError) as caught:
        CALLS[call](client)
    assert "down" in caught.value.body


def test_cookies_are_left_alone() -> None:
    """A cookie that no header can hold does not break the calls that follow."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert "Cookie" not in request.headers
        headers = [(b"Set-Cookie", "lang=é".encode()), (b"Set-Cookie", b"a=b")]
        return httpx.Response(200, json={"id": "a"}, headers=headers)

    with mocked(answer) as client:
        for _ in range(3):
            assert client.get_persona("a").id == "a"


@pytest.mark.parametrize(
    "link",
    [
        "x:http://evil.example/steal",
        "//evil.example/steal",
        "https:evil.example",
        "https://evil.example//other.example/x",
        "mailto:a@evil.example",
    ],
)
def test_no_link_leads_the_keys_to_another_host(link: str) -> None:
    """Of a link to the next page only path and query count, and only if they are such."""
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(200, json={"results": [{"id": str(len(asked))}], "next": link})

    with (
        mocked(answer) as client,
        contextlib.suppress(errors.UnexpectedAnswer),
    ):
        for _, _ in zip(range(3), client.list_personas(), strict=False):
            pass
    assert {url.host for url in asked} == {"api.example"}


def test_pages_without_end_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither pages of nothing nor ever more personas keep a list going for good."""
    number = iter(range(10**9))
    monkeypatch.setattr("avatarkit.api.client.MAX_PAGES", 20)

    def more(_: httpx.Request) -> httpx.Response:
        at = next(number)
        page = {"results": [{"id": f"p{at}"}], "next": f"/api/personas/paginated/?page={at}"}
        return httpx.Response(200, json=page)

    with mocked(more) as client, pytest.raises(errors.UnexpectedAnswer, match="20 pages"):
        list(client.list_personas())
    with mocked(more) as client, pytest.raises(errors.RequestTimeout):
        list(client.list_personas(deadline_s=0))


def test_a_page_that_moved_on_repeats_no_persona() -> None:
    """A persona that is on two pages, as another was created meanwhile, is listed once."""
    pages = [
        {"results": [{"id": "c"}, {"id": "b"}], "next": "/api/personas/paginated/?page=2"},
        {"results": [{"id": "b"}, {"id": "a"}], "next": None},
    ]
    with mocked(lambda _: httpx.Response(200, json=pages.pop(0))) as client:
        assert [persona.id for persona in client.list_personas()] == ["c", "b", "a"]


@pytest.mark.parametrize("count", [-(10**20), 10**20, "1e400", None, 1.5])
def test_a_count_that_is_none_stops_no_create(count: Any) -> None:
    """A quota that makes no sense is taken for unknown."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(201, json={"id": "a", "process_status": "pending"})
        return httpx.Response(200, json={"max_count": 3, "current_count": count})

    with mocked(answer) as client, Store("sqlite://") as store:
        assert Tracker(client, store).submit(REQUEST).id == "a"


@pytest.mark.parametrize("escape", [b"\\u0000", b"\\ud800"], ids=["NUL", "half a surrogate"])
def test_what_is_no_text_reaches_no_database(escape: bytes) -> None:
    """JSON may hold NUL and half a surrogate, PostgreSQL's text may not: they become U+FFFD."""
    body = b'{"id": "a", "creator_name": "A' + escape + b'da"}'
    with mocked(lambda _: httpx.Response(200, content=body)) as client:
        assert client.get_persona("a").creator_name == "A\ufffdda"
    with mocked(lambda _: httpx.Response(200, content=b"[" + body + b"]")) as client:
        assert next(client.list_personas()).creator_name == "A\ufffdda"


def test_a_key_in_a_status_line_or_a_header_is_not_logged(
    serve: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    """The HTTP libraries log both at DEBUG."""
    caplog.set_level(logging.DEBUG)
    lines = (
        f"HTTP/1.1 {KEY} OK\r\n\r\n".encode(),
        f"HTTP/1.1 429 {KEY}\r\nRetry-After: {KEY}\r\nX-Echo: {KEY}\r\nContent-Length: 0\r\n\r\n",
    )
    for line in lines:
        sent = line if isinstance(line, bytes) else line.encode()
        url = serve(lambda c, _, sent=sent: c.sendall(sent))  # type: ignore[misc]
        with Client(url, "the-id", KEY, tries=2, backoff_s=0) as client:
            with pytest.raises(errors.APIError) as caught:
                client.get_persona("a")
            shown = "".join(traceback.format_exception(caught.value))
            assert KEY not in shown + repr(vars(caught.value))
    logged = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    assert "httpcore" in logged
    assert KEY not in logged


def test_a_short_key_spoils_no_answer() -> None:
    """It may occur in names and ids by chance, so only errors are redacted."""
    replies = [httpx.Response(200, json={"id": "my-test-1", "creator_name": "test"})]
    replies.append(httpx.Response(400, json={"detail": "test is wrong"}))
    replies.append(httpx.Response(200, text="test"))
    answers = httpx.MockTransport(lambda _: replies.pop(0))
    with Client("https://api.example", "the-id", "test", transport=answers) as client:
        assert client.get_persona("my-test-1").creator_name == "test"
        for kind in (errors.InvalidRequest, errors.UnexpectedAnswer):
            with pytest.raises(kind) as caught:
                client.get_persona("a")
            assert "test" not in str(caught.value) + repr(vars(caught.value))


def test_a_key_that_comes_back_in_a_persona_is_redacted() -> None:
    """What the API says of a persona is shown and exported, so the key is in none of it."""
    body = {"id": "a", "process_status": "failed", "failed_reason": f"bad {KEY}"}
    with mocked(lambda _: httpx.Response(200, json=body)) as client:
        persona = client.get_persona("a")
        assert persona == Persona(id="a", process_status="failed", failed_reason="bad [key]")
