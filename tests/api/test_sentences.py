"""What each answer that is not a success is called, and how it is said: status, body and call."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from avatarkit import Client, PersonaCreate, errors

KEY = "CANARY-key-that-must-never-be-shown"
BASE = "https://api.example"
ADA = PersonaCreate(creator_name="Ada", gender="f")
HTML = "<!doctype html><html><head><title>Just a\n moment...</title></head><body>No.</body></html>"
DETAIL = {"detail": "Because."}
FULL = {"detail": "You have reached the maximum number of custom avatars for your plan."}
THROTTLED = {"detail": "Request was throttled. Expected available in 3599 seconds."}

CALLS: dict[str, Callable[[Client], Any]] = {
    "get": lambda client: client.get_persona("a"),
    "delete": lambda client: client.delete_persona("a"),
    "list": lambda client: list(client.list_personas()),
    "quota": lambda client: client.persona_quota(),
    "create": lambda client: client.create_persona(ADA),
}
BY_ID, WITHOUT_ID = ("get", "delete"), ("list", "quota", "create")
EVERY = (*BY_ID, *WITHOUT_ID)
ONLY_READ = ("get", "delete", "list", "quota")

BETWEEN = r"^Something between you and the API, .* refused the call \({}, {}\), .* not the cause"
PAGE = 'page "Just a moment..."'
NO_CALL = r"^There is no such call \({}\), [A-Z]+ https://api.example/api/personas[_v2/counta]*/"
MAYBE = r"\); it may have created the avatar nevertheless\.$"

TABLE: list[tuple[int, Any, tuple[str, ...], type[errors.StatusError], str]] = [
    # status, body (JSON or HTML), calls, class, sentence
    (301, None, EVERY, errors.StatusError, r"redirects \(301\) instead .* check base_url"),
    (400, DETAIL, EVERY, errors.InvalidRequest, r"found fault .* \(Because\.\); correct it"),
    (400, FULL, ("create",), errors.PlanFull, r"^The plan has no room .*reached the maximum"),
    (400, FULL, ONLY_READ, errors.InvalidRequest, "found fault"),
    (400, HTML, EVERY, errors.StatusError, BETWEEN.format(400, PAGE)),
    (401, DETAIL, EVERY, errors.AuthError, r"did not accept the API id and key \(Because\.\)"),
    (401, None, EVERY, errors.AuthError, "did not accept the API id and key; check both"),
    (401, HTML, EVERY, errors.StatusError, BETWEEN.format(401, PAGE)),
    (402, DETAIL, EVERY, errors.StatusError, r"asks for payment \(402\) \(Because\.\); check"),
    (402, HTML, EVERY, errors.StatusError, BETWEEN.format(402, PAGE)),
    (403, DETAIL, ONLY_READ, errors.AuthError, "did not accept the API id and key"),
    (403, DETAIL, ("create",), errors.AuthError, r"refused the create \(Because\.\).*key.*plan"),
    (403, FULL, ("create",), errors.PlanFull, "^The plan has no room .* delete one or extend"),
    (403, HTML, EVERY, errors.StatusError, BETWEEN.format(403, PAGE)),
    (403, None, EVERY, errors.StatusError, BETWEEN.format(403, "no JSON")),
    (403, "blocked", EVERY, errors.StatusError, BETWEEN.format(403, "no JSON")),
    (404, DETAIL, BY_ID, errors.NotFound, r"no such persona \(Because\.\); check the id"),
    (404, DETAIL, WITHOUT_ID, errors.StatusError, NO_CALL.format(404) + r" \(Because\.\); check"),
    (404, HTML, BY_ID, errors.StatusError, BETWEEN.format(404, PAGE)),
    (404, None, BY_ID, errors.StatusError, BETWEEN.format(404, "no JSON")),
    (404, HTML, WITHOUT_ID, errors.StatusError, NO_CALL.format(404) + "; check base_url"),
    (405, DETAIL, EVERY, errors.StatusError, NO_CALL.format(405) + r" \(Because\.\); check"),
    (405, HTML, EVERY, errors.StatusError, NO_CALL.format(405) + "; check base_url"),
    (407, None, EVERY, errors.StatusError, r"^The proxy asks for a user name .*HTTPS_PROXY"),
    (408, HTML, ("create",), errors.StatusError, r"too long to arrive \(408" + MAYBE),
    (409, DETAIL, EVERY, errors.StatusError, r"conflict .*\(409\) \(Because\.\); look there"),
    (409, HTML, EVERY, errors.StatusError, BETWEEN.format(409, PAGE)),
    (413, HTML, EVERY, errors.TooLarge, "too large; shorten the video, or give its public URL"),
    (413, DETAIL, EVERY, errors.TooLarge, r"too large \(Because\.\); shorten"),
    (418, DETAIL, EVERY, errors.StatusError, r"refused the call \(418\) \(Because\.\)\.$"),
    (422, {"gender": ["No."]}, EVERY, errors.InvalidRequest, r"fault .*\(gender: No\.\)"),
    (429, THROTTLED, EVERY, errors.RateLimited, "no more calls for now.*; try again"),
    (429, HTML, EVERY, errors.RateLimited, "no more calls for now; try again later"),
    (451, DETAIL, EVERY, errors.StatusError, r"legal reasons \(451\) \(Because\.\); ask"),
    (451, HTML, EVERY, errors.StatusError, BETWEEN.format(451, PAGE)),
    (500, HTML, ONLY_READ, errors.ServerError, r"of its own \(500\); try again later\.$"),
    (502, HTML, ("create",), errors.ServerError, r"of its own \(502" + MAYBE),
    (503, DETAIL, ONLY_READ, errors.ServerError, r"\(503\) \(Because\.\); try again later"),
]


def answer_of(code: int, body: Any, **headers: str) -> httpx.Response:
    if isinstance(body, str):
        return httpx.Response(code, html=body, headers=headers)
    return httpx.Response(code, json=body, headers=headers)


def error_of(call: str, answer: httpx.Response) -> errors.APIError:
    transport = httpx.MockTransport(lambda _: answer)
    with (
        Client(BASE, "the-id", KEY, transport=transport, tries=1) as client,
        pytest.raises(errors.APIError) as caught,
    ):
        CALLS[call](client)
    return caught.value


@pytest.mark.parametrize(
    ("call", "code", "body", "kind", "sentence"),
    [
        pytest.param(call, code, body, kind, text, id=f"{code}-{_name}-{call}")
        for code, body, calls, kind, text in TABLE
        for _name in ["empty" if body is None else "JSON" if isinstance(body, dict) else "HTML"]
        for call in calls
    ],
)
def test_each_answer_has_its_class_and_its_sentence(
    call: str, code: int, body: Any, kind: type[errors.StatusError], sentence: str
) -> None:
    """The sentence names the cause, by status, body and call; what is not JSON blames no keys."""
    error = error_of(call, answer_of(code, body))
    assert type(error) is kind
    assert isinstance(error, errors.StatusError)
    assert error.from_api is isinstance(body, dict)
    assert re.search(sentence, str(error)), str(error)
    assert str(error).endswith(".")
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("wait_s", "text"), [("3599", "1 h"), ("20", "20 s"), ("90", "1 min 30 s")]
)
def test_how_long_to_wait_is_said_once_and_in_words(wait_s: str, text: str) -> None:
    """The API's own sentence, which has the same number of seconds, is not repeated."""
    error = error_of("create", answer_of(429, THROTTLED, **{"Retry-After": wait_s}))
    assert str(error) == f"The API takes no more calls for now; try again in {text}."


@pytest.mark.parametrize(
    ("body", "quoted"),
    [
        ({"detail": "No.", "non_field_errors": ["No."]}, "(No.)"),
        ({"detail": "gender: Bad.", "gender": ["Bad."]}, "(gender: Bad.)"),
        ({"message": "Bad.", "gender": ["Bad."]}, "(gender: Bad.)"),
        (["No.", "No."], "(No.)"),
        ({"gender": ["Bad."], "labels": ["Bad."]}, "(gender: Bad.; labels: Bad.)"),
    ],
)
def test_nothing_is_quoted_twice(body: Any, quoted: str) -> None:
    """A field's message that is repeated as the detail is said once; its field is kept."""
    error = error_of("create", answer_of(400, body))
    assert f"the request {quoted}; correct it" in str(error)


@pytest.mark.parametrize(
    "body",
    [
        {"creator_name": ["Ensure this has no more than the maximum of 255 for avatars."]},
        {"detail": "The file exceeds the maximum size."},
        {"detail": "Your avatar needs a consent video."},
    ],
)
def test_a_limit_of_something_else_is_not_the_plan(body: Any) -> None:
    """Only words about too many avatars, and not about a field, are taken for a full plan."""
    assert type(error_of("create", answer_of(400, body))) is errors.InvalidRequest


def test_no_answer_can_steer_a_terminal() -> None:
    """What an answer says is quoted without line breaks and control characters."""
    error = error_of("get", answer_of(401, {"detail": "No\x1b[31m.\nAt all."}))
    assert "(No [31m. At all.)" in str(error)


def test_an_upload_that_is_too_large_has_its_size(tmp_path: Path) -> None:
    """The sentence of a 413 says how much was sent, and what to do."""
    video = tmp_path / "a.mp4"
    video.write_bytes(bytes(2_500_000))
    transport = httpx.MockTransport(lambda _: answer_of(413, HTML))
    request = PersonaCreate(creator_name="Ada", gender="f", lipsync_input=video)
    with (
        Client(BASE, "the-id", KEY, transport=transport) as client,
        pytest.raises(errors.TooLarge, match=r"too large: 2\.5 MB; shorten the video, or give"),
    ):
        client.create_persona(request)


def test_a_page_does_not_prove_a_delete() -> None:
    """After an attempt whose answer was lost, only the API's own 404 says that it is deleted."""
    attempts: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        attempts.append(request)
        if len(attempts) == 1:
            raise httpx.ReadError("x")
        return answer_of(404, HTML)

    transport = httpx.MockTransport(answer)
    with (
        Client(BASE, "the-id", KEY, transport=transport, backoff_s=0) as client,
        pytest.raises(errors.StatusError, match="Something between"),
    ):
        client.delete_persona("a")
