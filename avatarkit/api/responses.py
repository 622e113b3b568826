"""Turn a successful answer of the API into a model."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from avatarkit.errors import UnexpectedAnswer
from avatarkit.models import field_errors

Model = TypeVar("Model", bound=BaseModel)

MAX_KEPT_BODY = 2_000
"""Length to which an error cuts the body that it keeps, in characters."""

MAX_DEPTH = 50
"""What lies deeper in an answer is kept as JSON text, as databases and parsers have limits."""

_NOT_TEXT = re.compile(r"[\x00\ud800-\udfff]")


def unexpected(response: httpx.Response, fault: str) -> UnexpectedAnswer:
    """Return the error for a 2xx answer that does not fit the contract.

    Args:
        response: The answer.
        fault: What is wrong with it, such as "is not a list of personas".
    """
    body = text_of(response)
    return UnexpectedAnswer(
        f"The API's answer {fault}; check base_url, and report this if it is right.",
        method=response.request.method,
        url=str(response.request.url),
        body=body[:MAX_KEPT_BODY],
        from_api=body.lstrip("\ufeff \t\r\n")[:1] in ("{", "["),
    )


def read(response: httpx.Response, model: type[Model]) -> Model:
    """Parse the JSON body of a 2xx answer into a model.

    Raises:
        UnexpectedAnswer: The body is not JSON, or does not fit the model.
    """
    if b"\\u" not in response.content:  # no escaped NUL or surrogate to replace
        with suppress(ValidationError):
            return model.model_validate_json(response.content)
    value = json_of(response)
    if value is None:
        raise unexpected(response, "is not JSON")
    return validate(response, model, value)


def validate(response: httpx.Response, model: type[Model], value: object) -> Model:
    """Validate a JSON value from a 2xx answer as a model.

    Raises:
        UnexpectedAnswer: The value does not fit the model.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        field, message = field_errors(error)[0]
        fault = f"does not fit ({field or 'it'}: {message.lower()})"
        raise unexpected(response, fault) from None


def next_page(response: httpx.Response, link: str) -> httpx.URL:
    """Return path and query of a link to the next page, without its host.

    The keys must go to no other host than ``base_url``.

    Raises:
        UnexpectedAnswer: The link is not a URL with a path.
    """
    try:
        path = httpx.URL(link).raw_path.decode("ascii")
    except (httpx.InvalidURL, ValueError):
        path = ""
    if not path.startswith("/") or path.startswith("//"):
        raise unexpected(response, "has a broken link to its next page")
    return httpx.URL(path)


def text_of(response: httpx.Response) -> str:
    """Return the body as UTF-8 text without the key, whatever encoding the answer declares."""
    redact = response.extensions.get("redact", bytes)
    return bytes(redact(response.content)).decode("utf-8", "replace")


def json_of(response: httpx.Response) -> Any:
    """Return the JSON value of the body; None if it is not JSON.

    The encoding is that of the byte order mark, else UTF-8. Bytes that are not text become U+FFFD,
    as do NUL and lone surrogates, which databases cannot store as text.
    """
    body = response.content
    try:
        text = body.decode(json.detect_encoding(body), "replace")
        return _storable(json.loads(text, strict=False, parse_int=_whole_number))
    except (ValueError, RecursionError):
        return None


def _whole_number(digits: str) -> int | str:
    try:
        return int(digits)
    except ValueError:  # more digits than Python converts
        return digits


def _storable(value: Any, depth: int = 0) -> Any:
    if isinstance(value, list | dict) and depth == MAX_DEPTH:
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        return _NOT_TEXT.sub("\ufffd", value)
    if isinstance(value, list):
        return [_storable(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(item, depth + 1) for name, item in value.items()}
    return value
