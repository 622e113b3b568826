"""Validate the fields of a create, with the messages of Django REST framework."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from avatarkit.models import VIDEO_FIELDS, Gender
from avatarkit.sandbox.behaviour import Behaviour, ErrorShape
from avatarkit.sandbox.error_responses import ErrorResponse
from avatarkit.sandbox.personas.records import Create
from avatarkit.sandbox.web.request_body import Body

_REQUIRED = "This field is required."
_NULL = "This field may not be null."
_BLANK = "This field may not be blank."
_NOT_A_STRING = "Not a valid string."
_NOT_A_URL = "Enter a valid URL."
_NOT_A_FILE = "The submitted data was not a file. Check the encoding type on the form."
_EMPTY_FILE = "The submitted file is empty."

_TEXT_LENGTH = 255
_URL_LENGTH = 200
_FILE_NAME_LENGTH = 100
_LONGEST_URL = 2048
_LETTER = "a-z\u00a1-\uffff"
_LABEL = rf"(?!-)[{_LETTER}0-9-]{{1,63}}(?<!-)"
_TOP_LABEL = rf"(?!-)(?:[{_LETTER}-]{{2,63}}|xn--[a-z0-9]{{1,59}})(?<!-)"
_URL = re.compile(
    r"(?:https?|ftps?)://(?:[^\s:@/]+(?::[^\s:@/]*)?@)?"
    rf"(?:(?P<v4>[0-9.]+)|\[(?P<v6>[0-9a-f:.]+)\]|localhost|(?:{_LABEL}\.)+{_TOP_LABEL}\.?)"
    r"(?::[0-9]{1,5})?(?:[/?#]\S*)?",
    re.IGNORECASE,
)
_MISSING: Any = object()


def validate(body: Body, behaviour: Behaviour, *, urls: bool) -> Create:
    """Validate the create in ``body``; unknown fields are ignored.

    Args:
        body: The parsed body.
        behaviour: Sets how a form gives labels, and the shape of the error.
        urls: Whether videos may be URLs.

    Raises:
        ErrorResponse: A 400 with the messages of all fields.

    Source:
        The contract: required fields, enum, lengths, nullability.
    """
    if not body.is_form and not isinstance(body.json, dict):
        text = f"Invalid data. Expected a dictionary, but got {type(body.json).__name__}."
        raise ErrorResponse(400, {"non_field_errors": [text]})
    fields = _Fields(body, behaviour)
    create = Create(
        gender=fields.gender(),
        creator_name=fields.text("creator_name", required=True) or "",
        video_scene=fields.text("video_scene"),
        keywords=fields.text("keywords"),
        labels=fields.labels(),
        webhook_url=fields.text("webhook_url", url=True),
        gdown_url=fields.text("gdown_url", url=True) or None,
        videos=fields.videos(urls=urls),
    )
    if fields.errors:
        raise ErrorResponse(400, _in_shape(fields.errors, behaviour.error_shape))
    return create


def _in_shape(errors: Mapping[str, Any], shape: ErrorShape) -> Any:
    if shape == "fields":
        return errors
    texts = []
    for name, messages in errors.items():
        lists = messages.values() if isinstance(messages, dict) else [messages]
        texts += [f"{name}: {text}" for each in lists for text in each]
    return texts if shape == "list" else {"detail": texts[0]}


def is_valid_url(value: str) -> bool:
    """Return whether ``value`` is a URL as Django sees it.

    That is a scheme of four, a host that is an address, ``localhost`` or has a dot, and a port of
    up to five digits.

    Source:
        ``django.core.validators.URLValidator``, with which the tests compare it.
    """
    match = _URL.fullmatch(value)
    if match is None or len(value) > _LONGEST_URL:
        return False
    try:
        if address := match["v4"] or match["v6"]:
            ip_address(address)
        return len(urlsplit(value).hostname or "") <= 253  # the longest domain name
    except ValueError:
        return False


class _Fields:
    def __init__(self, body: Body, behaviour: Behaviour) -> None:
        self._body = body
        self._behaviour = behaviour
        self.errors: dict[str, Any] = {}

    def _value(self, name: str) -> Any:
        if self._body.is_form:
            return self._body.values.get(name, [_MISSING])[-1]
        return self._body.json.get(name, _MISSING)

    def gender(self) -> str:
        value = self._value("gender")
        if isinstance(value, str) and value in set(Gender):
            return value
        text = f'"{_printable(value)}" is not a valid choice.'
        self.errors["gender"] = [_absence(value) or text]
        return ""

    def text(
        self,
        name: str,
        *,
        required: bool = False,
        url: bool = False,
        max_length: int | None = None,
    ) -> str | None:
        value, accepts_blank = self._value(name), self._behaviour.accepts_blank and not required
        max_length = max_length or (_URL_LENGTH if url else _TEXT_LENGTH)
        is_null = self._is_empty_input(name) and not accepts_blank
        if not required and (is_null or _absence(value)):
            return None
        text, messages = _clean(value)
        if url and messages == [_NOT_A_STRING]:
            messages = [_NOT_A_URL]
        if not (text or messages or accepts_blank):
            messages.append(_BLANK)
        if len(text) > max_length:
            messages.append(f"Ensure this field has no more than {max_length} characters.")
        if url and text and not is_valid_url(text):
            messages.append(_NOT_A_URL)
        if messages:
            self.errors[name] = messages
        return text

    def labels(self) -> tuple[str, ...]:
        values = self._label_values()
        if values is _MISSING:
            return ()
        if not isinstance(values, list):
            text = f'Expected a list of items but got type "{type(values).__name__}".'
            self.errors["labels"] = [_absence(values) or text]
            return ()
        cleaned = [_clean(value) for value in values]
        bad = {
            str(number): messages or [_BLANK]
            for number, (text, messages) in enumerate(cleaned)
            if messages or not text
        }
        if bad:
            self.errors["labels"] = bad
        return tuple(text for text, _ in cleaned)

    def _label_values(self) -> Any:
        if not self._body.is_form:
            return self._value("labels")
        values = self._body.values
        if "labels" in values and self._behaviour.form_labels == "commas":
            text = str(values["labels"][-1])
            return text.split(",") if text.strip() else []
        if "labels" in values:
            return values["labels"]
        # The framework reads labels[0]=…&labels[1]=… of a form as a list too.
        numbered = {
            int(match[1]): values[match[0]][-1]
            for match in (re.fullmatch(r"labels\[([0-9]{1,9})\]", name) for name in values)
            if match
        }
        return [numbered[number] for number in sorted(numbered)] if numbered else _MISSING

    def videos(self, *, urls: bool) -> dict[str, str]:
        videos: dict[str, str] = {}
        for name in VIDEO_FIELDS:
            received = self._body.files.get(name)
            if received is not None:
                length = len(self._body.file_names[name])
                if received.stat().st_size == 0:
                    self.errors[name] = [_EMPTY_FILE]
                elif length > _FILE_NAME_LENGTH:
                    text = f"Ensure this filename has at most {_FILE_NAME_LENGTH} characters"
                    self.errors[name] = [f"{text} (it has {length})."]
                videos[name] = received.name
            elif urls:
                if url := self.text(name, url=True, max_length=_LONGEST_URL):
                    videos[name] = url
            elif not (_absence(self._value(name)) or self._is_empty_input(name)):
                self.errors[name] = [_NOT_A_FILE]
        return videos

    def _is_empty_input(self, name: str) -> bool:
        # A form cannot say null.
        return self._body.is_form and self._value(name) == ""


def _absence(value: Any) -> str | None:
    return _REQUIRED if value is _MISSING else _NULL if value is None else None


def _clean(value: Any) -> tuple[str, list[str]]:
    if absence := _absence(value):
        return "", [absence]
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return "", [_NOT_A_STRING]
    text = str(value).strip()
    messages = []
    if "\0" in text:
        messages.append("Null characters are not allowed.")
    surrogate = next((ord(c) for c in text if 0xD800 <= ord(c) <= 0xDFFF), None)
    if surrogate is not None:
        messages.append(f"Surrogate characters are not allowed: U+{surrogate:X}.")
    return text, messages


def _printable(value: Any) -> str:
    try:
        text = str(value)
    except RecursionError:  # JSON nested just deep enough to be read
        text = type(value).__name__
    # A lone surrogate cannot be sent back in UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")
