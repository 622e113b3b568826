"""The client against a fake that is a plain ``request -> response`` callable.

Every behaviour runs twice: through ``httpx.MockTransport``, and over a real socket, where the same
callable stands behind a server. What cannot be made to happen on a socket is skipped there.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as some

from avatarkit import Client, PersonaCreate, Settings, errors
from avatarkit.api import connections
from avatarkit.clock import SystemClock

KEY = "CANARY-key-that-must-never-be-shown"
Handler = Callable[[httpx.Request], httpx.Response]


BASE = "https://api.example"
_open: dict[str, Any] = {}


@pytest.fixture(params=["mock", "socket"], autouse=True)
def _over(request: pytest.FixtureRequest) -> Iterator[None]:
    """How the client of ``client_of`` reaches its handler."""
    with contextlib.ExitStack() as stack:
        _open.update(over=request.param, stack=stack)
        yield


def client_of(handler: Handler, **options: Any) -> Client:
    options = {"backoff_s": 0, **options}
    if _open["over"] == "mock":
        client = Client(BASE, "the-id", KEY, transport=httpx.MockTransport(handler), **options)
    else:
        # One server a test: hypothesis calls this again and again.
        if "served" not in vars(_open["stack"]):
            _open["stack"].served = _open["stack"].enter_context(Served())
        _open["stack"].served.handler = handler
        client = Client(_open["stack"].served.url, "the-id", KEY, **options)
    return _open["stack"].enter_context(client)


def answering(status: int, json: Any = None, **options: Any) -> Handler:
    return lambda request: httpx.Response(status, json=json, **options)


class Served:
    """A ``request -> response`` callable behind a real server on loopback."""

    handler: Handler

    def __enter__(self) -> Served:
        served = self

        class OneRequest(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                url = f"{served.url}{self.path}"
                request = httpx.Request(self.command, url, headers=dict(self.headers), content=body)
                self.close_connection = True
                try:
                    response = served.handler(request)
                    content = b"".join(response.stream)  # type: ignore[arg-type]
                except httpx.TransportError:
                    return  # the connection just ends
                lines = [f"HTTP/1.1 {response.status_code} X".encode()]
                lines += [name + b": " + value for name, value in response.headers.raw]
                if "Content-Length" not in response.headers:
                    lines.append(f"Content-Length: {len(content)}".encode())
                self.wfile.write(b"\r\n".join([*lines, b"Connection: close", b"", b""]) + content)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), OneRequest)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Recorder:
    """Answers from a list, repeating the last, and keeps the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The wall seconds that retries would have slept."""
    seconds: list[float] = []
    monkeypatch.setattr(SystemClock, "sleep", lambda _, wait_s, stop=None: seconds.append(wait_s))
    return seconds


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "james.mp4"
    path.write_bytes(b"not a video, but bytes" * 1000)
    return path


def request_for(**values: Any) -> PersonaCreate:
    return PersonaCreate(**{"creator_name": "James", "gender": "m", **values})


def test_writes_and_creates_have_longer_timeouts() -> None:
    """The API may store a long video away before it answers; a GET has no reason to take long."""
    record = Recorder(httpx.Response(200, json={"id": "a"}))
    settings = Settings(
        base_url=BASE,
        api_id="i",
        api_key="k",
        connect_timeout_s=1,
        read_timeout_s=2,
        write_timeout_s=300,
    )
    with Client(settings=settings, transport=httpx.MockTransport(record)) as client:
        client.get_persona("a")
        client.create_persona(request_for())
    got, sent = (request.extensions["timeout"] for request in record.requests)
    assert got["read"] == pytest.approx(2)
    assert sent == {"connect": 1, "read": 300, "write": 300, "pool": 1}


class TestHeadersAndPaths:
    def test_every_call_carries_both_keys(self) -> None:
        """Both headers go with every call, and every path ends in a slash."""
        record = Recorder(httpx.Response(200, json={"id": "a", "max_count": 3, "current_count": 1}))
        client = client_of(record)
        client.get_persona("a")
        client.persona_quota()
        client.delete_persona("a")
        client.create_persona(request_for())
        for request in record.requests:
            assert request.headers["X-API-ID"] == "the-id"
            assert request.headers["X-API-KEY"] == KEY
            assert request.url.path.endswith("/")

    def test_ids_are_quoted(self) -> None:
        """An id with a slash in it cannot reach another endpoint."""
        record = Recorder(httpx.Response(200, json={"id": "a/../b"}))
        client_of(record).get_persona("a/../b")
        assert record.requests[0].url.raw_path == b"/api/personas/a%2F..%2Fb/"

    @pytest.mark.parametrize("persona_id", ["", " ", ".", ".."])
    def test_an_id_that_is_none_is_not_asked_for(self, persona_id: str) -> None:
        """A blank id is NotFound, not a list of everything."""
        with pytest.raises(errors.NotFound):
            client_of(answering(200, [])).get_persona(persona_id)

    def test_repr_has_no_key(self) -> None:
        """The repr names the API and no key."""
        client = client_of(answering(200))
        assert repr(client) == f"Client(base_url='{client.base_url}')"

    def test_without_keys_both_ways_out_are_named(self) -> None:
        """A bare Client() without keys says how to set them, and that there is a sandbox."""
        with pytest.raises(errors.ConfigError, match=r"AVATARKIT_API_KEY.*sandbox"):
            Client()

    def test_the_environment_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A bare Client() takes keys and base URL from the environment."""
        monkeypatch.setenv("AVATARKIT_API_ID", "env-id")
        monkeypatch.setenv("AVATARKIT_API_KEY", "env-key")
        monkeypatch.setenv("AVATARKIT_BASE_URL", "https://other.example/")
        with Client() as client:
            assert (client.api_id, client.base_url) == ("env-id", "https://other.example")

    def test_the_account_is_base_url_and_id(self) -> None:
        """Another API id or another host is another account; the port of loopback is not."""

        def account(url: str, api_id: str) -> str:
            return Client(url, api_id, "k").account

        assert account("https://a.example", "1") != account("https://a.example", "2")
        assert account("https://a.example", "1") != account("https://b.example", "1")
        assert account("http://127.0.0.1:1", "1") == account("http://127.0.0.1:2", "1")


class TestCreate:
    def test_files_go_as_multipart(self, video: Path) -> None:
        """Files go to personas_v2 as multipart, with labels repeated and the name in UTF-8."""
        record = Recorder(httpx.Response(201, json={"id": "new"}))
        sent: list[tuple[int, int]] = []
        persona = client_of(record).create_persona(
            request_for(creator_name="Żółć 😀", labels=["a", "b"], lipsync_input=video),
            progress=lambda done, total: sent.append((done, total)),
        )
        request = record.requests[0]
        body = request.content
        assert persona.id == "new"
        assert request.url.path == "/api/personas_v2/"
        assert request.headers["Content-Type"].startswith("multipart/form-data")
        assert body.count(b'name="labels"') == 2
        assert "Żółć 😀".encode() in body
        assert b'filename="footage.mp4"' in body
        assert b"Content-Type: video/mp4" in body
        assert str(video.parent).encode() not in body
        size = video.stat().st_size
        assert sent[-1] == (size, size)
        assert int(request.headers["Content-Length"]) == len(body)

    def test_urls_go_as_json(self) -> None:
        """URLs go to /api/personas/ as JSON, without fields that are not set."""
        record = Recorder(httpx.Response(201, json={"id": "new"}))
        client_of(record).create_persona(request_for(lipsync_input="https://x.example/a.mp4"))
        request = record.requests[0]
        assert request.url.path == "/api/personas/"
        assert json.loads(request.content) == {
            "creator_name": "James",
            "gender": "m",
            "lipsync_input": "https://x.example/a.mp4",
        }

    def test_no_video_goes_as_json_to_v2(self) -> None:
        """Without videos it is JSON to personas_v2."""
        record = Recorder(httpx.Response(201, json={"id": "new"}))
        client_of(record).create_persona(request_for(labels=["x"]))
        assert record.requests[0].url.path == "/api/personas_v2/"
        assert json.loads(record.requests[0].content)["labels"] == ["x"]

    @pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
    def test_a_create_is_never_sent_twice(self, code: int) -> None:
        """Whatever the API answers, one create is one request."""
        record = Recorder(httpx.Response(code))
        with pytest.raises(errors.StatusError):
            client_of(record).create_persona(request_for())
        assert len(record.requests) == 1

    @pytest.mark.parametrize(
        ("failure", "maybe_sent", "kind"),
        [
            (httpx.ConnectError("x"), False, errors.ConnectionFailed),
            (httpx.ConnectTimeout("x"), False, errors.RequestTimeout),
            (httpx.PoolTimeout("x"), False, errors.RequestTimeout),
            (httpx.WriteError("x"), True, errors.ConnectionFailed),
            (httpx.ReadError("x"), True, errors.ConnectionFailed),
            (httpx.ReadTimeout("x"), True, errors.RequestTimeout),
            (httpx.RemoteProtocolError("x"), True, errors.ConnectionFailed),
        ],
    )
    def test_a_broken_connection_says_whether_it_may_have_arrived(
        self, failure: Exception, maybe_sent: bool, kind: type[errors.ConnectionFailed]
    ) -> None:
        """Only a connection that was never made rules out that the create arrived."""
        if _open["over"] == "socket" and not isinstance(failure, httpx.RemoteProtocolError):
            pytest.skip("a server cannot make exactly this happen")
        record = Recorder(failure)
        with pytest.raises(kind) as caught:
            client_of(record).create_persona(request_for())
        assert caught.value.maybe_sent is maybe_sent
        assert len(record.requests) == 1

    def test_a_403_names_both_causes(self) -> None:
        """A refused create may be the key or the plan; the sentence says both."""
        with pytest.raises(errors.AuthError, match=r"key.*plan"):
            client_of(answering(403, {"detail": "no"})).create_persona(request_for())

    def test_a_file_that_went_away_is_found_before_sending(self, video: Path) -> None:
        """A video that was deleted after it was chosen is an error before anything is sent."""
        request = request_for(lipsync_input=video)
        video.unlink()
        record = Recorder(httpx.Response(201, json={"id": "new"}))
        with pytest.raises(errors.VideoUnreadable, match="does not exist"):
            client_of(record).create_persona(request)
        assert record.requests == []

    def test_a_redirect_is_not_followed(self) -> None:
        """A 301 to a create is an error; following it would turn the POST into a GET."""
        record = Recorder(httpx.Response(301, headers={"Location": "https://api.example/x/"}))
        with pytest.raises(errors.StatusError, match="base_url"):
            client_of(record).create_persona(request_for())
        assert len(record.requests) == 1

    def test_a_list_is_not_a_persona(self) -> None:
        """A list in answer to a create is refused."""
        with pytest.raises(errors.UnexpectedAnswer):
            client_of(answering(200, [])).create_persona(request_for())


class TestRetries:
    @pytest.mark.parametrize("code", [500, 502, 503, 504])
    def test_a_get_is_tried_again(self, code: int) -> None:
        """A GET outlives three bad answers in a row."""
        record = Recorder(*[httpx.Response(code)] * 3, httpx.Response(200, json={"id": "a"}))
        assert client_of(record).get_persona("a").id == "a"
        assert len(record.requests) == 4

    def test_a_connection_that_breaks_in_the_body_is_tried_again(self) -> None:
        """A body that breaks off counts as a broken connection."""

        class Broken(httpx.SyncByteStream):
            def __iter__(self):  # type: ignore[no-untyped-def]
                yield b'{"id":'
                raise httpx.ReadError("gone")

        record = Recorder(
            httpx.Response(200, stream=Broken()), httpx.Response(200, json={"id": "a"})
        )
        assert client_of(record).get_persona("a").id == "a"

    @pytest.mark.parametrize("code", [400, 401, 403, 404, 422])
    def test_what_cannot_get_better_is_asked_once(self, code: int) -> None:
        """A fault of the request is not tried again."""
        record = Recorder(httpx.Response(code))
        with pytest.raises(errors.StatusError):
            client_of(record).get_persona("a")
        assert len(record.requests) == 1

    @pytest.mark.parametrize("value", ["0", "7", "3600", formatdate(4_000_000_000, usegmt=True)])
    @pytest.mark.parametrize("code", [429, 503])
    def test_a_call_that_should_wait_is_handed_to_the_caller(
        self, slept: list[float], code: int, value: str
    ) -> None:
        """Retry-After is about all calls of the account, so no call waits for it by itself."""
        record = Recorder(httpx.Response(code, headers={"Retry-After": value}))
        with pytest.raises((errors.RateLimited, errors.ServerError)) as caught:
            client_of(record).get_persona("a")
        if len(value) <= 4:
            assert caught.value.retry_after_s == float(value)
        else:
            assert caught.value.retry_after_s is not None
            assert caught.value.retry_after_s > 86_400
        assert (len(record.requests), slept) == (1, [])

    @pytest.mark.parametrize("value", [None, "soon", "-1", "", "9" * 400, "Wed, 99 Foo"])
    def test_a_429_is_never_tried_again(self, value: str | None, slept: list[float]) -> None:
        """Not even without a Retry-After that says something."""
        headers = {} if value is None else {"Retry-After": value}
        record = Recorder(httpx.Response(429, headers=headers))
        with pytest.raises(errors.RateLimited):
            client_of(record).get_persona("a")
        assert (len(record.requests), slept) == (1, [])

    @pytest.mark.parametrize(
        ("said", "wait_s"),
        [
            ("Request was throttled. Expected available in 1 second.", 1),
            ("Request was throttled. Expected available in 3599 seconds.", 3599),
            ("Request was throttled.", None),
        ],
    )
    def test_the_wait_in_words_is_read(self, said: str, wait_s: float | None) -> None:
        """Without the header the sentence of Django REST framework says how long to wait."""
        with pytest.raises(errors.RateLimited) as caught:
            client_of(answering(429, {"detail": said})).get_persona("a")
        assert caught.value.retry_after_s == wait_s

    def test_retries_are_logged_at_info(self, caplog: pytest.LogCaptureFixture) -> None:
        """Each retry is one log line that names the cause."""
        caplog.set_level(logging.DEBUG, "avatarkit")
        record = Recorder(
            httpx.RemoteProtocolError("x"),
            httpx.Response(503),
            httpx.Response(200, json={"id": "a"}),
        )
        client_of(record).get_persona("a")
        lines = [r.getMessage() for r in caplog.records if r.name == "avatarkit"]
        assert lines == [
            "Retry 1 of 3 after RemoteProtocolError.",
            "Retry 2 of 3 after answer 503.",
        ]

    def test_a_delete_whose_answer_was_lost_is_done(self) -> None:
        """A 404 to the second try of a delete means that the first one worked."""
        missing = httpx.Response(404, json={"detail": "Not found."})
        client_of(Recorder(httpx.ReadError("x"), missing)).delete_persona("a")
        with pytest.raises(errors.NotFound):
            client_of(Recorder(missing)).delete_persona("a")

    def test_the_deadline_ends_the_tries(self) -> None:
        """A call whose deadline has passed is a RequestTimeout."""
        with pytest.raises(errors.RequestTimeout):
            client_of(answering(200, {"id": "a"}), deadline_s=-1).get_persona("a")

    def test_no_wait_goes_beyond_the_deadline(self, slept: list[float]) -> None:
        """A Retry-After that ends after the deadline is handed to the caller at once."""
        record = Recorder(httpx.Response(503, headers={"Retry-After": "20"}))
        with pytest.raises(errors.ServerError):
            client_of(record, deadline_s=5).get_persona("a")
        assert (len(record.requests), slept) == (1, [])

    def test_pauses_are_cut_at_the_deadline(self, slept: list[float]) -> None:
        """The pauses between tries are no longer than what is left of the deadline."""
        client = Client(
            "https://api.example",
            "the-id",
            KEY,
            transport=httpx.MockTransport(Recorder(httpx.Response(503))),
            backoff_s=1000,
            deadline_s=3,
        )
        with pytest.raises(errors.AvatarkitError):
            client.get_persona("a")
        assert max(slept) <= 3

    def test_a_key_at_the_edge_of_what_is_kept_is_hidden(self) -> None:
        """A body is cut after the key was redacted, however JSON has written it."""
        edge = "x" * 1_985 + KEY + "y" * 100
        with pytest.raises(errors.ServerError) as caught:
            client_of(lambda _: httpx.Response(500, text=edge)).get_persona("a")
        assert KEY[:5] not in caught.value.body
        strange = 'a"b\\c-and-more'
        client = Client(
            BASE,
            "the-id",
            strange,
            transport=httpx.MockTransport(lambda _: httpx.Response(400, json={"echo": strange})),
        )
        with client, pytest.raises(errors.InvalidRequest) as found:
            client.get_persona("a")
        assert "and-more" not in f"{found.value.body} {found.value}"

    @pytest.mark.parametrize("persona_id", ["a" * 70_000, "\udcff", "a\nb", ""])
    def test_what_cannot_be_an_id_is_not_found(self, persona_id: str) -> None:
        """No URL can hold it, so no persona has it."""
        with pytest.raises(errors.NotFound, match="is not the id of a persona"):
            client_of(answering(200, {"id": "a"})).get_persona(persona_id)

    def test_an_answer_without_end_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An endless body is cut off at a size, not read until memory ends."""
        monkeypatch.setattr(connections, "MAX_ANSWER_BYTES", 1000)
        with pytest.raises(errors.UnexpectedAnswer, match="has more than"):
            client_of(lambda _: httpx.Response(200, content=b"x" * 2000)).get_persona("a")
        with pytest.raises(errors.RateLimited):
            client_of(lambda _: httpx.Response(429, content=b"x" * 2000)).get_persona("a")


class TestAnswers:
    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (400, errors.InvalidRequest),
            (401, errors.AuthError),
            (403, errors.AuthError),
            (404, errors.NotFound),
            (409, errors.StatusError),
            (422, errors.InvalidRequest),
            (429, errors.RateLimited),
            (500, errors.ServerError),
            (599, errors.ServerError),
        ],
    )
    def test_each_status_has_its_error(self, code: int, kind: type[errors.StatusError]) -> None:
        """Each kind of answer has a class of its own, which keeps what is needed to act."""
        with pytest.raises(kind) as caught:
            client_of(answering(code, {"detail": "Because."})).get_persona("a")
        error = caught.value
        assert type(error) is kind
        assert error.status_code == code
        assert error.messages == ("Because.",)
        assert "Because." in error.body
        assert error.method == "GET"
        assert error.url.endswith("/api/personas/a/")

    @pytest.mark.parametrize(
        ("body", "fields", "messages"),
        [
            ({"gender": ["Bad."]}, {"gender": ["Bad."]}, ("gender: Bad.",)),
            (["Bad."], {}, ("Bad.",)),
            ({"detail": "Bad."}, {}, ("Bad.",)),
            (
                {"labels": {"0": ["Bad."]}},
                {"labels": ['{"0": ["Bad."]}']},
                ('labels: {"0": ["Bad."]}',),
            ),
            ("text", {}, ()),
        ],
    )
    def test_the_three_shapes_of_a_400(
        self, body: Any, fields: dict[str, list[str]], messages: tuple[str, ...]
    ) -> None:
        """Messages are found in each of the shapes that the API uses."""
        with pytest.raises(errors.InvalidRequest) as caught:
            client_of(answering(400, body)).create_persona(request_for())
        assert caught.value.fields == fields
        assert caught.value.messages == messages

    def test_another_persona_is_refused(self) -> None:
        """An answer about another id is not taken for the one asked for."""
        with pytest.raises(errors.UnexpectedAnswer, match="another persona"):
            client_of(answering(200, {"id": "b"})).get_persona("a")

    def test_unknown_fields_and_statuses_are_kept(self) -> None:
        """Undocumented fields and statuses are kept as they came."""
        body = {"id": "a", "process_status": "dreaming", "novel": {"x": 1}}
        persona = client_of(answering(200, body)).get_persona("a")
        assert (persona.process_status, persona.status) == ("dreaming", None)
        assert persona.model_extra == {"novel": {"x": 1}}

    @given(
        code=some.integers(100, 599),
        body=some.one_of(
            some.binary(max_size=200),
            some.recursive(
                some.none() | some.booleans() | some.integers() | some.text(max_size=9),
                lambda inner: (
                    some.lists(inner, max_size=3)
                    | some.dictionaries(
                        some.sampled_from(["id", "detail", "process_status", "created_at", "x"]),
                        inner,
                        max_size=4,
                    )
                ),
                max_leaves=8,
            ).map(lambda value: json.dumps(value).encode()),
        ),
        headers=some.dictionaries(
            some.sampled_from(["Content-Type", "Retry-After", "Location", "Set-Cookie", "X-Other"]),
            some.text(some.characters(min_codepoint=33, max_codepoint=126), max_size=30)
            | some.sampled_from(["text/html; charset=utf-16", "application/json; charset=idna"]),
        ),
        encoding=some.sampled_from([None, "gzip", "br", "utf-8"]),
    )
    def test_any_answer_is_a_value_or_one_error(
        self, code: int, body: bytes, headers: dict[str, str], encoding: str | None
    ) -> None:
        """Arbitrary bytes, JSON and headers give a right value or one error of the tree."""
        if encoding is not None:
            headers = {**headers, "Content-Encoding": encoding}

        def handler(_: httpx.Request) -> httpx.Response:
            return httpx.Response(code, headers=headers, stream=httpx.ByteStream(body))

        client = client_of(handler, tries=2, deadline_s=5)
        calls: list[tuple[Callable[[], Any], Callable[[Any], bool]]] = [
            (lambda: client.get_persona("a"), lambda got: got.id == "a"),
            (lambda: client.create_persona(request_for()), lambda got: bool(got.id)),
            (lambda: list(client.list_personas()), lambda got: all(persona.id for persona in got)),
            (client.persona_quota, lambda got: got.current_count >= 0),
            (lambda: client.delete_persona("a"), lambda got: got is None),
        ]
        for call, is_right in calls:
            try:
                assert is_right(call())
            except errors.AvatarkitError as error:
                assert str(error).strip()


class TestList:
    def test_a_bare_array(self) -> None:
        """A bare array is the list; filters go into the query."""
        record = Recorder(httpx.Response(200, json=[{"id": "a"}, {"id": "b"}]))
        found = list(client_of(record).list_personas(gender="m,f"))
        assert [persona.id for persona in found] == ["a", "b"]
        assert record.requests[0].url.params["gender"] == "m,f"

    def test_pages_are_read_lazily(self) -> None:
        """The second page is asked for only when the first has been used up."""
        record = Recorder(
            httpx.Response(
                200,
                json={
                    "results": [{"id": "a"}],
                    "next": "http://evil.example/api/personas/paginated/?page=2",
                },
            ),
            httpx.Response(200, json={"results": [{"id": "b"}], "next": None}),
        )
        personas = client_of(record).list_personas()
        assert next(personas).id == "a"
        assert len(record.requests) == 1
        assert next(personas).id == "b"
        assert record.requests[1].url.raw_path == b"/api/personas/paginated/?page=2"
        assert record.requests[1].url.host != "evil.example"
        assert list(personas) == []

    def test_a_circle_of_pages_ends(self) -> None:
        """Pages that lead back to one another are an error, not a loop."""
        page = {"results": [], "next": "https://api.example/api/personas_v2/"}
        with pytest.raises(errors.UnexpectedAnswer, match="nothing new"):
            list(client_of(answering(200, page)).list_personas())

    @pytest.mark.parametrize("body", [{"x": 1}, "text", None, [1], [{"no": "id"}]])
    def test_what_is_no_list_is_refused(self, body: Any) -> None:
        """Anything but personas in a list is an UnexpectedAnswer."""
        with pytest.raises(errors.UnexpectedAnswer):
            list(client_of(answering(200, body)).list_personas())

    def test_a_broken_link_is_refused(self) -> None:
        """A next link that is no URL is an UnexpectedAnswer."""
        with pytest.raises(errors.UnexpectedAnswer, match="next page"):
            list(
                client_of(answering(200, {"results": [], "next": "http://x\x00y/"})).list_personas()
            )


class TestNoKeyAnywhere:
    @pytest.mark.parametrize(
        "answer",
        [
            httpx.Response(400, json={KEY: [KEY]}),
            httpx.Response(401, json={"detail": f"Key {KEY} is wrong"}),
            httpx.Response(500, text=f"<html>{KEY}</html>"),
            httpx.Response(200, text=f"{KEY}"),
            httpx.Response(302, headers={"Location": f"https://x.example/{KEY}"}),
            httpx.ReadError("broke"),
            httpx.ConnectTimeout("slow"),
        ],
    )
    def test_no_failure_shows_the_key(
        self, answer: httpx.Response | Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Even when the API echoes the key, no text, attribute, traceback or log line has it."""
        caplog.set_level(1)
        client = client_of(Recorder(answer), tries=2)
        with pytest.raises(errors.AvatarkitError) as caught:
            client.get_persona("a")
        error = caught.value
        shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
        shown += repr(client) + caplog.text + "".join(str(r.__dict__) for r in caplog.records)
        assert KEY not in shown
