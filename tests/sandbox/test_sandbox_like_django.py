"""The sandbox beside Django REST framework: the same calls get the same answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from avatarkit.sandbox import Sandbox
from avatarkit.sandbox.web.validation import is_valid_url
from support.django_server import serving
from support.sandbox_client import ADA, COUNT, FILES, PAGES, URLS, client_of

pytest.importorskip("gunicorn.http", reason="gunicorn runs on POSIX only")

# What a create answers of its own: the ids and times differ.
SENT = ("gender", "creator_name", "video_scene", "keywords", "labels", "webhook_url")

URLISH = ["https://example.com", "https://localhost:1/", "http://nowhere", "a.mp4", "1.2.3.4"]
URLISH += ["http://1.2.3.4:99999", "http://01.2.3.4", "https://example.com/".ljust(201, "x")]
TEXTS = st.one_of(
    st.sampled_from(["", " ", "Ada", " a ", "x" * 200, "x" * 256, "a\0b", "\ud800", "m", *URLISH]),
    st.text(max_size=5),
)
VALUES: st.SearchStrategy[Any] = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(-1000, 1000),
    st.lists(st.one_of(TEXTS, st.none(), st.integers(0, 9), st.just([])), max_size=3),
    st.just({"a": 1}),
)
UNKNOWN = "00000000-0000-4000-8000-000000000000"
NAMES = ("video_scene", "keywords", "labels", "webhook_url", "gdown_url", "consent_video")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Yield bare clients of a sandbox and of Django REST framework."""
    with (
        serving(tmp_path_factory.mktemp("django")) as django,
        Sandbox(max_personas=100_000) as sandbox,
        client_of(sandbox) as ours,
        django.client() as theirs,
    ):
        yield ours, theirs


def compared(answer: httpx.Response) -> tuple[int, Any]:
    """Return the status and what both servers have to say alike."""
    body = answer.json() if answer.content else None
    if answer.status_code == 201:
        body = {name: body[name] for name in SENT}
    return answer.status_code, body


def check_alike(pair: tuple[httpx.Client, httpx.Client], method: str, url: str, **more: Any) -> int:
    """Compare the answers of both to one call; return the status of the sandbox's."""
    ours, theirs = (client.request(method, url, **more) for client in pair)
    if theirs.status_code == 500:
        # The framework fails on a choice that UTF-8 cannot express; the sandbox refuses it.
        assert ours.status_code == 400
    else:
        assert compared(ours) == compared(theirs)
    return ours.status_code


def bodies(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return creates that are right but for one or two fields."""
    changed = st.dictionaries(st.sampled_from([*ADA, *NAMES]), values, max_size=2)
    return changed.map(lambda fields: {**ADA, **fields})


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies(VALUES), path=st.sampled_from([FILES, URLS]))
@example(body={}, path=FILES)
@example(body={**ADA, "creator_name": None, "gender": ""}, path=URLS)
@example(body={**ADA, "gender": "\ud800"}, path=URLS)
@example(body={**ADA, "labels": {"a": 1}, "webhook_url": True}, path=FILES)
def test_json_is_judged_alike(
    pair: tuple[httpx.Client, httpx.Client], body: dict[str, Any], path: str
) -> None:
    """Any JSON object is taken or refused as by the framework, with its messages by field."""
    headers = {"Content-Type": "application/json"}
    check_alike(pair, "POST", path, content=json.dumps(body).encode(), headers=headers)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=bodies(TEXTS.filter(lambda text: "\ud800" not in text)),
    labels=st.lists(st.sampled_from(["", " ", "a", "b,c", "ä"]), max_size=3),
    multipart=st.booleans(),
)
def test_forms_are_judged_alike(
    pair: tuple[httpx.Client, httpx.Client],
    body: dict[str, Any],
    labels: list[str],
    *,
    multipart: bool,
) -> None:
    """So is any form, in which labels are repeated, and an empty field is none."""
    form: dict[str, Any] = {**body, "labels": labels}
    if multipart:
        check_alike(pair, "POST", FILES, data=form, files={"x": ("x", b"")})
    else:
        check_alike(pair, "POST", FILES, data=form)


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("a.mp4", b"x", 201),
        ("a.mp4", b"", 400),
        ("x" * 96 + ".mp4", b"x", 201),
        ("x" * 97 + ".mp4", b"x", 400),
        ("folder/" + "x" * 96 + ".mp4", b"x", 201),
    ],
)
def test_files_are_judged_alike(
    pair: tuple[httpx.Client, httpx.Client], name: str, content: bytes, status: int
) -> None:
    """A file that is empty, or whose name has over 100 characters, is refused."""
    files = {"lipsync_input": (name, content)}
    assert check_alike(pair, "POST", FILES, data=ADA, files=files) == status


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("PUT", FILES, {}),
        ("PATCH", URLS, {"json": {}}),
        ("POST", COUNT, {"json": {}}),
        ("POST", PAGES, {"json": ADA}),
        ("POST", FILES, {"content": b"[1]", "headers": {"Content-Type": "application/json"}}),
        ("POST", FILES, {"content": b"{", "headers": {"Content-Type": "application/json"}}),
        ("POST", FILES, {"content": b"x", "headers": {"Content-Type": "text/plain"}}),
        ("POST", URLS, {"data": ADA}),
        ("GET", f"{PAGES}?page=99", {}),
        ("GET", f"{PAGES}?page=x", {}),
        ("GET", f"{URLS}{UNKNOWN}/", {}),
        ("DELETE", f"{URLS}{UNKNOWN}/", {}),
        ("GET", COUNT, {"headers": {"X-API-KEY": ""}}),
    ],
)
def test_refusals_are_worded_alike(
    pair: tuple[httpx.Client, httpx.Client], method: str, path: str, options: dict[str, Any]
) -> None:
    """What is refused otherwise is refused in the framework's words."""
    assert check_alike(pair, method, path, **options) >= 400


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_missing_slash_is_redirected_alike(
    pair: tuple[httpx.Client, httpx.Client], method: str
) -> None:
    """With 301 to the same path and query, also a POST, which then becomes a GET of the list."""
    for path in (FILES, URLS, COUNT, PAGES):
        ours, theirs = (client.request(method, f"{path[:-1]}?a=1") for client in pair)
        assert ours.status_code == theirs.status_code == 301
        assert ours.headers["location"] == theirs.headers["location"] == f"{path}?a=1"


@pytest.mark.parametrize("size", ["1", "3", "0", "-1", "x", "", "100"])
def test_pages_are_cut_alike(pair: tuple[httpx.Client, httpx.Client], size: str) -> None:
    """``page_size`` is a whole number from 1; anything else is the default, 10."""
    for client in pair:
        for persona in client.get(FILES).json():
            client.delete(f"{URLS}{persona['id']}/")
        for number in range(12):
            client.post(FILES, json={**ADA, "creator_name": str(number)})
    url, seen = f"{PAGES}?page_size={size}", []
    while url:
        ours, theirs = (client.get(url).json() for client in pair)
        names = [[item["creator_name"] for item in page["results"]] for page in (ours, theirs)]
        assert names[0] == names[1]
        assert ours["count"] == theirs["count"] == 12
        links = [
            [page[name] and dict(httpx.URL(page[name]).params) for name in ("next", "previous")]
            for page in (ours, theirs)
        ]
        assert links[0] == links[1]
        seen += names[0]
        url = ours["next"] and httpx.URL(ours["next"]).raw_path.decode()
    assert seen == [str(number) for number in reversed(range(12))]


PIECES = ["http", "https", "ftp", "://", "//", ":", "@", "/", "?", "#", ".", "-", "[", "]", "::1"]
PIECES += ["example", "com", "localhost", "xn--p1ai", "bücher", "日本", "127.0.0.1", "1.2.3.256"]
PIECES += ["01.2.3.4", "80", "99999", "123456", " ", "\t", "\u200b", "%20", "_", "a" * 64, "a."]


@pytest.mark.long
@settings(max_examples=500)
@given(
    st.one_of(
        st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
        st.builds(
            "{}://{}{}{}".format,
            st.sampled_from(["http", "HTTPS", "ftps", "javascript"]),
            st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join),
            st.sampled_from(["", ":0", ":80", ":99999", ":123456", ":x"]),
            st.sampled_from(["", "/", "/a b", "?x=1", "#y", "/\u00e9"]),
        ),
    )
)
@example(f"https://{'a.' * 126}com/")
@example(f"https://{'a.' * 124}com/")
@example("https://example.com/".ljust(2048, "x"))
@example("https://example.com/".ljust(2049, "x"))
def test_urls_are_judged_alike(url: str) -> None:
    """A text is a URL for the sandbox when it is one for Django's validator."""
    from django.core.exceptions import ValidationError
    from django.core.validators import URLValidator

    try:
        URLValidator()(url)
        accepted = True
    except ValidationError:
        accepted = False
    assert is_valid_url(url) is accepted
