"""Turn an answer that is not a success into an exception whose sentence names the cause.

The body counts as well as the status: a 403 or 404 without the API's JSON comes from something in
between, such as a firewall, and says nothing of keys, plans or personas.
"""

from __future__ import annotations

import json
import re
from typing import Any

import httpx

from avatarkit import errors
from avatarkit.api.connection_errors import MAY_HAVE_CREATED, PROXY_LOGIN
from avatarkit.api.responses import MAX_KEPT_BODY, json_of, text_of
from avatarkit.api.transport import retry_after_s
from avatarkit.text import format_hours

_CLASSES: dict[int, type[errors.StatusError]] = {
    400: errors.InvalidRequest,
    401: errors.AuthError,
    403: errors.AuthError,
    404: errors.NotFound,
    413: errors.TooLarge,
    422: errors.InvalidRequest,
    429: errors.RateLimited,
}
_KEYS = "The API did not accept the API id and key{quoted}; check both."
_REQUEST = "The API found fault with the request{quoted}; correct it and send it again."
_SENTENCES = {
    400: _REQUEST,
    401: _KEYS,
    402: "The API asks for payment (402){quoted}; check the account's credits and billing.",
    403: _KEYS,
    404: "This account has no such persona{quoted}; check the id and the keys.",
    407: f"The proxy {PROXY_LOGIN}.",
    408: "The request took too long to arrive (408); {advice}.",
    409: "The API sees a conflict with what the account has (409){quoted}; look there first.",
    413: "The upload is too large{size}{quoted}; shorten the video, or give its public URL.",
    422: _REQUEST,
    429: "The API takes no more calls for now{quoted}; try again {when}.",
    451: "The API may not do this for legal reasons (451){quoted}; ask the vendor.",
}
_FROM_ANY_SERVER = (407, 408, 413, 429)
"""Statuses that mean the same from the API and from something in between."""

_REFUSED_CREATE = (
    "The API refused the create{quoted}: either the API key is not allowed to create, or the plan "
    "has no room for another avatar; check the keys, or delete an avatar."
)
_PLAN_FULL = "The plan has no room for another avatar{quoted}; delete one or extend the plan."
_NO_SUCH_CALL = "There is no such call ({code}), {method} {url}{quoted}; check base_url."
_IN_BETWEEN = (
    "Something between you and the API, or its web server, refused the call ({code}, {shown}), as "
    "a firewall or a proxy does; keys, plan and avatars are not the cause: check base_url, or try "
    "another network."
)
_GENERAL = ("detail", "non_field_errors", "message", "error")
_LIMIT = re.compile(
    r"(?i)\b(limits?|quota|max|maximum|plans?|upgrade|exceed\w*|reached|too many)\b"
)
_AVATARS = re.compile(r"(?i)\b(persona|avatar|creator)s?\b")
_TITLE = re.compile(r"(?i)<title[^>]*>\s*([^<]{1,100})")
_PERSONA = re.compile(rb"/api/personas/(?!paginated/)[^/?]+/")


def raise_for_status(response: httpx.Response) -> None:
    """Raise the ``StatusError`` that fits, unless the answer is a success.

    Raises:
        StatusError: The answer is not a success; class and sentence depend on its status, on
            whether its body is JSON, and on the call.

    Source: 401 as seen live; 400 in the three shapes of Django REST framework; 403 on a create is
    guessed to mean a full plan, and words about too many avatars are taken for one.
    """
    if response.is_success:
        return
    request, code = response.request, response.status_code
    messages, fields = _messages(response)
    error_class, text = _class_and_text(response, messages if not fields else ())
    wait_s = retry_after_s(response)
    # A 429 of Django REST framework says in words how long to wait, as the sentence does.
    quoted = () if code == 429 and wait_s is not None else messages
    size = int(request.headers.get("Content-Length", 0)) / 1e6
    message = text.format(
        code=code,
        method=request.method,
        url=request.url.copy_with(query=None),
        quoted=f" ({'; '.join(quoted)[:500]})" if quoted else "",
        shown=_shown(response),
        size=f": {size:,.1f} MB" if size >= 0.1 else "",
        when="later" if wait_s is None else f"in {format_hours(wait_s / 3600)}",
        advice=MAY_HAVE_CREATED if request.method == "POST" else "try again later",
    )
    raise error_class(
        "".join(char if char.isprintable() else " " for char in message),
        method=request.method,
        url=str(request.url),
        status_code=code,
        body=text_of(response)[:MAX_KEPT_BODY],
        messages=messages,
        from_api=is_from_api(response),
        fields=fields,
        retry_after_s=wait_s,
    )


def is_from_api(response: httpx.Response) -> bool:
    """Return whether the body of an error is JSON as the API sends it, whatever its type says."""
    return isinstance(json_of(response), dict | list | str)


def _class_and_text(
    response: httpx.Response, general_messages: tuple[str, ...]
) -> tuple[type[errors.StatusError], str]:
    code, request = response.status_code, response.request
    if code >= 500:
        return errors.ServerError, "The API has a problem of its own ({code}){quoted}; {advice}."
    if code < 400:
        return (
            errors.StatusError,
            "The API redirects ({code}) instead of answering; check base_url.",
        )
    if code == 405 or (code == 404 and not _PERSONA.fullmatch(request.url.raw_path)):
        return errors.StatusError, _NO_SUCH_CALL
    is_bare = code == 401 and not response.content  # as status and header may be all there is
    if not (is_from_api(response) or is_bare or code in _FROM_ANY_SERVER):
        return errors.StatusError, _IN_BETWEEN
    if request.method == "POST" and code in (400, 403):
        if any(_LIMIT.search(text) and _AVATARS.search(text) for text in general_messages):
            return errors.PlanFull, _PLAN_FULL
        if code == 403:
            return errors.AuthError, _REFUSED_CREATE
    text = _SENTENCES.get(code, "The API refused the call ({code}){quoted}.")
    return _CLASSES.get(code, errors.StatusError), text


def _shown(response: httpx.Response) -> str:
    title = _TITLE.search(text_of(response))
    return f'page "{" ".join(title[1].split())}"' if title else "no JSON"


def _messages(response: httpx.Response) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    """Return all messages of an error's body, each once, and those of each field.

    Source: Django REST framework: {"field": ["msg"]}, ["msg"] or {"detail": "msg"}.
    """
    body = json_of(response)
    if not isinstance(body, dict):
        return tuple(dict.fromkeys(_texts(body))) if isinstance(body, list) else (), {}
    by_field = {str(name): _texts(value) for name, value in body.items()}
    fields = {name: texts for name, texts in by_field.items() if name not in _GENERAL}
    of_fields = [f"{name}: {text}" for name, texts in fields.items() for text in texts]
    general = [text for name in _GENERAL for text in by_field.get(name, [])]
    # Some APIs repeat the messages of the fields as their detail.
    repeated = {*of_fields, *(text for texts in fields.values() for text in texts)}
    messages = [text for text in general if text not in repeated] + of_fields
    return tuple(dict.fromkeys(messages)), fields


def _texts(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [item if isinstance(item, str) else json.dumps(item) for item in items]
