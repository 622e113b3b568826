"""What an answer of the API means: a value, or one error of the tree."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
from pydantic import ValidationError

from avatarkit.api.transport import retry_after_s
from avatarkit.errors import (
    AuthError,
    InvalidRequest,
    NotFound,
    RateLimited,
    ServerError,
    StatusError,
    UnexpectedAnswer,
)
from avatarkit.models import complaints

MAX_KEPT_BODY = 2_000
"""Characters of a body that an error keeps."""

MAY_HAVE_CREATED = "it may have created the avatar nevertheless"
"""Instead of "try again", which could make a second one."""

_NOT_TEXT = re.compile(r"[\x00\ud800-\udfff]")


def raise_for_status(response: httpx.Response, *, creating: bool = False) -> None:
    """Raise the ``StatusError`` that fits, unless the answer is a success.

    Args:
        response: The answer.
        creating: True for the answer to a create, which it would be wrong to send again.

    Source: 401 as seen live; 400 in the three shapes of Django REST framework; 403 on a create is
    guessed to mean a full plan.
    """
    code = response.status_code
    if 200 <= code < 300:
        return
    messages, fields = _messages(response)
    quoted = f" ({'; '.join(messages)[:500]})" if messages else ""
    common: dict[str, Any] = {
        "method": response.request.method,
        "url": str(response.request.url),
        "status_code": code,
        "body": text_of(response)[:MAX_KEPT_BODY],
        "messages": messages,
    }
    if code == 403 and creating:
        raise AuthError(
            f"The API refused the create{quoted}: either the API key is not allowed to create, or "
            "the plan has no room for another avatar; check the keys, or delete an avatar.",
            **common,
        )
    if code in (401, 403):
        raise AuthError(f"The API did not accept the API id and key{quoted}; check both.", **common)
    if code == 404:
        raise NotFound(
            f"This account has no such persona{quoted}; check the id and the keys.", **common
        )
    if code in (400, 422):
        text = f"The API found fault with the request{quoted}; correct it and send it again."
        raise InvalidRequest(text, fields=fields, **common)
    if code == 429:
        wait_s = retry_after_s(response)
        when = f"in {wait_s:.0f} s" if wait_s is not None else "later"
        text = f"The API takes no more calls for now{quoted}; try again {when}."
        raise RateLimited(text, retry_after_s=wait_s, **common)
    if code >= 500:
        advice = MAY_HAVE_CREATED if creating else "try again later"
        raise ServerError(f"The API has a problem of its own ({code}); {advice}.", **common)
    if code < 400:
        raise StatusError(
            f"The API redirects ({code}) instead of answering; check base_url.", **common
        )
    raise StatusError(f"The API refused the call ({code}){quoted}.", **common)


def unexpected(response: httpx.Response, fault: str) -> UnexpectedAnswer:
    """Return the error for a success with this ``fault``, such as "is not a list of personas"."""
    return UnexpectedAnswer(
        f"The API's answer {fault}; check base_url, and report this if it is right.",
        method=response.request.method,
        url=str(response.request.url),
        body=text_of(response)[:MAX_KEPT_BODY],
    )


def misfit(response: httpx.Response, error: ValidationError) -> UnexpectedAnswer:
    """Return the error for a success that does not fit its model."""
    field, complaint = complaints(error)[0]
    if complaint.startswith("Invalid JSON"):
        return unexpected(response, "is not JSON")
    return unexpected(response, f"does not fit ({field or 'it'}: {complaint.lower()})")


def next_page(response: httpx.Response, link: str) -> httpx.URL:
    """Return path and query of a page's link to the next one: the keys go to no other host."""
    try:
        path = httpx.URL(link).raw_path.decode("ascii")
    except (httpx.InvalidURL, ValueError):
        path = ""
    if not path.startswith("/") or path.startswith("//"):
        raise unexpected(response, "has a broken link to its next page")
    return httpx.URL(path)


def text_of(response: httpx.Response) -> str:
    """Return the body as text without the key, whatever encoding the answer declares."""
    redact = response.extensions.get("redact", bytes)
    return bytes(redact(response.content)).decode("utf-8", "replace")


def json_of(response: httpx.Response) -> Any:
    """Return the JSON of the answer, None if it is none.

    NUL and half a surrogate, which JSON may hold and no database as text, become U+FFFD.
    """
    try:
        return _storable(json.loads(response.content))
    except (ValueError, RecursionError):
        return None


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _NOT_TEXT.sub("\ufffd", value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(item) for name, item in value.items()}
    return value


def _messages(response: httpx.Response) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    """Return all sentences of an error's body, and those that belong to a field by field.

    Source: Django REST framework: {"field": ["msg"]}, ["msg"] or {"detail": "msg"}.
    """
    body = json_of(response)
    if isinstance(body, list):
        return tuple(_texts(body)), {}
    if not isinstance(body, dict):
        return (), {}
    by_field = {str(name): _texts(value) for name, value in body.items()}
    general = ("detail", "non_field_errors", "message", "error")
    messages = tuple(
        text if name in general else f"{name}: {text}"
        for name, texts in by_field.items()
        for text in texts
    )
    return messages, {name: texts for name, texts in by_field.items() if name not in general}


def _texts(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [item if isinstance(item, str) else json.dumps(item) for item in items]
