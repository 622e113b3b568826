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

KEPT_BODY = 2_000
"""Characters of a body that an error keeps."""

MAY_HAVE_CREATED = "it may have created the avatar nevertheless"
"""Instead of "try again", which could make a second one."""

_NO_TEXT = re.compile(r"[\x00\ud800-\udfff]")


def raise_for_status(response: httpx.Response, *, creating: bool = False) -> None:
    """Raise the ``StatusError`` that fits, unless the answer is a success.

    Source: 401 as seen live; 400 in the three shapes of Django REST framework; 403 on a create is
    guessed to mean a full plan.
    """
    code = response.status_code
    if 200 <= code < 300:
        return
    messages, fields = _messages(response)
    said = f" ({'; '.join(messages)[:500]})" if messages else ""
    request = response.request
    common: dict[str, Any] = {
        "method": request.method,
        "url": str(request.url),
        "status_code": code,
        "body": text_of(response)[:KEPT_BODY],
        "messages": messages,
    }
    if code == 403 and creating:
        raise AuthError(
            f"The API refused the create{said}: either the API key is not allowed to create, or "
            "the plan has no room for another avatar; check the keys, or delete an avatar.",
            **common,
        )
    if code in (401, 403):
        raise AuthError(f"The API did not accept the API id and key{said}; check both.", **common)
    if code == 404:
        raise NotFound(
            f"This account has no such persona{said}; check the id and the keys.", **common
        )
    if code in (400, 422):
        text = f"The API found fault with the request{said}; correct it and send it again."
        raise InvalidRequest(text, fields=fields, **common)
    if code == 429:
        wait_s = retry_after_s(response)
        when = f"in {wait_s:.0f} s" if wait_s is not None else "later"
        raise RateLimited(
            f"The API takes no more calls for now{said}; try again {when}.",
            retry_after_s=wait_s,
            **common,
        )
    if code >= 500:
        then = MAY_HAVE_CREATED if creating else "try again later"
        raise ServerError(f"The API has a problem of its own ({code}); {then}.", **common)
    if code < 400:
        raise StatusError(
            f"The API redirects ({code}) instead of answering; check base_url.", **common
        )
    raise StatusError(f"The API refused the call ({code}){said}.", **common)


def unexpected(response: httpx.Response, what: str) -> UnexpectedAnswer:
    """The error for a success that ``what``, such as "is not a list of personas"."""
    return UnexpectedAnswer(
        f"The API's answer {what}; check base_url, and report this if it is right.",
        method=response.request.method,
        url=str(response.request.url),
        body=text_of(response)[:KEPT_BODY],
    )


def text_of(response: httpx.Response) -> str:
    """The body as text without the key, whatever the answer calls its encoding."""
    blot = response.extensions.get("blot", bytes)
    return bytes(blot(response.content)).decode("utf-8", "replace")


def misfit(error: ValidationError) -> str:
    """What does not fit, from a pydantic error: the field and the complaint, never the value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return "is not JSON"
    field = ".".join(str(part) for part in first["loc"])
    return f"does not fit ({field or 'it'}: {first['msg'].lower()})"


def json_of(response: httpx.Response) -> Any:
    """The JSON of the answer, or None where it is none.

    NUL and half a surrogate, which JSON may hold and no database as text, become U+FFFD.
    """
    try:
        return _whole(json.loads(response.content))
    except (ValueError, RecursionError):
        return None


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return _NO_TEXT.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(name): _whole(item) for name, item in value.items()}
    return value


def _messages(response: httpx.Response) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    # {"field": ["msg"]}, ["msg"] or {"detail": "msg"}: all sentences, and those by field.
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
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [item if isinstance(item, str) else json.dumps(item) for item in value]
    return [json.dumps(value)]
