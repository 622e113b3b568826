"""Requests and answers of the API as pydantic models.

``PersonaCreate`` refuses what the contract refuses; ``Persona`` takes any answer with an id, and
keeps unknown fields and undocumented statuses.

Source: the contract of ``POST /api/personas_v2/`` and the vendor's page of "Get avatar by ID".
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import to_json

from avatarkit.paths import pasted_path, unquote


class Gender(StrEnum):
    """The three genders that the API takes."""

    M = "m"
    """Male."""

    F = "f"
    """Female."""

    NB = "nb"
    """Non-binary."""


class ProcessStatus(StrEnum):
    """The nine documented statuses, in the order in which a persona goes through them.

    ``done`` is the usual end; ``failed`` and ``rejected`` can follow any other status.
    """

    PENDING = "pending"
    PROCESSING = "processing"
    VOICE_CREATING = "voice_creating"
    VIDEO_VALIDATING = "video_validating"
    CROP_AND_MATTE = "crop_and_matte"
    REVIEWING = "reviewing"
    DONE = "done"
    FAILED = "failed"
    REJECTED = "rejected"

    @property
    def is_terminal(self) -> bool:
        """Whether it is final: done, failed or rejected."""
        return self in TERMINAL


TERMINAL = frozenset({ProcessStatus.DONE, ProcessStatus.FAILED, ProcessStatus.REJECTED})
"""The three final statuses."""

STAGES = tuple(status for status in ProcessStatus if status not in TERMINAL)
"""The six statuses that a persona spends time in, in order."""

VIDEO_FIELDS = ("lipsync_input", "consent_video")
"""The fields of a create that take a video: a file, or a URL."""

UNKNOWN = "unknown"
"""The status in the log of an answer without one."""


def is_url(value: object) -> bool:
    """Return whether a value is a string that begins like an http(s) URL."""
    return isinstance(value, str) and value.lower().startswith(("http://", "https://"))


def check_file(path: Path) -> None:
    """Check that ``path`` is a readable file that is not empty.

    Raises:
        ValueError: It is not; the message is one sentence.
    """
    # Not all file systems keep names in UTF-8.
    shown = str(path).encode("utf-8", "replace").decode("utf-8")
    if path.is_dir():
        raise ValueError(f"{shown} is a directory; give the path of a video file.")
    if not path.exists():
        raise ValueError(f"{shown} does not exist; check the path.")
    if not os.access(path, os.R_OK):
        raise ValueError(f"{shown} cannot be read; check its permissions.")
    if not path.is_file():
        raise ValueError(f"{shown} is a device or a pipe; give the path of a video file.")
    if path.stat().st_size == 0:
        raise ValueError(f"{shown} is empty; export or download the video again.")


def _blank_is_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _check_http_url(value: str, what: str) -> str:
    try:
        parts = urlsplit(value)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # not a port, or not an IPv6 address
        fits = False
    if not fits or not value.isprintable() or " " in value:
        raise ValueError(f"{what} must be a URL such as https://example.com/…; this one is not.")
    return value


def _video(value: Any) -> Any:
    """Return a URL as a string, anything else as a checked ``Path``, None for blank text."""
    pasted = unquote(value) if isinstance(value, str) else value
    if _blank_is_none(pasted) is None:
        return None
    if is_url(pasted):
        return _check_http_url(pasted, "A video's URL")
    is_path = isinstance(pasted, (str, os.PathLike))
    if not is_path or re.match(r"(?!(?i:file))\w+://", str(pasted)):
        raise ValueError("A video must be the path of a file or an http(s) URL.")
    path = pasted_path(os.fspath(value))
    try:
        check_file(path)
    except OSError as error:  # a name longer than the file system allows, for one
        raise ValueError(f"This path cannot be opened ({error.strerror}).") from None
    except UnicodeError:
        raise ValueError("This path cannot be written as the name of a file.") from None
    return path


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty; fill it in.")
    return value


def _label(value: str) -> str:
    if not value.strip():
        raise ValueError("A label must not be empty; fill it in or leave it out.")
    return value


def _extra(fields: dict[str, Any]) -> dict[str, Any]:
    for name, value in fields.items():
        if not name.strip() or not name.isprintable():
            raise ValueError(f"{name!r} is not the name of a field.")
        for item in value if isinstance(value, list) else [value]:
            is_json = item is None or isinstance(item, str | int | float)
            if not is_json or (isinstance(item, float) and not math.isfinite(item)):
                raise ValueError(f"{name} must be a text, a number, a boolean or a list of these.")
    return fields


BlankIsNone = BeforeValidator(_blank_is_none)
"""Reads blank text, as a form sends it, as None."""

Video = Annotated[Path | str | None, BeforeValidator(_video)]


class PersonaCreate(BaseModel):
    """A request to create one custom avatar.

    Both videos must be of the same kind, as files and URLs go to different endpoints.

    Raises:
        pydantic.ValidationError: A field does not fit; ``error_sentence`` turns it into text.

    Source: the contract (required fields, enum, lengths).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    gender: Gender
    """The person's gender: ``m``, ``f`` or ``nb``."""

    creator_name: Annotated[str, Field(max_length=255), AfterValidator(_not_blank)]
    """Name of the persona, used to identify the real person, not for display."""

    video_scene: Annotated[str | None, Field(max_length=255), BlankIsNone] = None
    """A word to describe the background setting, such as ``office``."""

    keywords: Annotated[str | None, Field(max_length=255), BlankIsNone] = None
    """Keywords, comma separated."""

    labels: list[Annotated[str, AfterValidator(_label)]] = Field(default_factory=list)
    """Labels of your own. The API's "Get avatar by ID" does not return them."""

    webhook_url: Annotated[str | None, Field(max_length=200), BlankIsNone] = None
    """An http(s) URL that the API calls when the avatar is created."""

    lipsync_input: Video = None
    """The footage from which lip-synced video is generated: a file's path, or a public URL."""

    consent_video: Video = None
    """The recorded consent of the person: a file's path, or a public URL."""

    gdown_url: Annotated[str | None, BlankIsNone] = None
    """A Google Drive link to the footage, in place of ``lipsync_input``."""

    extra: Annotated[dict[str, Any], AfterValidator(_extra)] = Field(default_factory=dict)
    """Fields of the API that this model does not have: texts, numbers, booleans or lists."""

    @model_validator(mode="after")
    def _consistent(self) -> PersonaCreate:
        for name in ("webhook_url", "gdown_url"):
            if getattr(self, name) is not None:
                _check_http_url(getattr(self, name), name)
        if self.gdown_url and self.lipsync_input:
            raise ValueError("Give the footage as lipsync_input or as gdown_url, not as both.")
        for name in self.extra.keys() & type(self).model_fields.keys():
            raise ValueError(f"extra: {name} is a field of its own; give it as {name}=.")
        if self.files and self.urls:
            raise ValueError(
                "lipsync_input and consent_video must both be files or both be URLs; "
                "download the one or upload the other."
            )
        return self

    def _videos(self) -> dict[str, Path | str | None]:
        return {name: getattr(self, name) for name in VIDEO_FIELDS}

    @property
    def files(self) -> dict[str, Path]:
        """Paths of the videos that are files, by field."""
        return {name: v for name, v in self._videos().items() if isinstance(v, Path)}

    @property
    def urls(self) -> dict[str, str]:
        """URLs of the videos that are given by URL, by field."""
        return {name: v for name, v in self._videos().items() if isinstance(v, str)}

    def fields(self) -> dict[str, Any]:
        """Return the fields that are set, without the videos, as JSON values.

        Those of ``extra`` are under that name.
        """
        return self.model_dump(mode="json", exclude_defaults=True, exclude=set(VIDEO_FIELDS))


def _utc(value: datetime | None) -> datetime | None:
    if value is None:
        return None
    # A timestamp without an offset is taken for UTC, Django's default.
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError("This moment lies outside the years 1 to 9999.") from None


def _check_moment(value: Any) -> Any:
    if isinstance(value, str):
        value = value.strip() or None
    # A number may be seconds or milliseconds, and 0 stands for no date.
    is_iso = isinstance(value, str) and value[4:5] == "-"
    if not (value is None or is_iso or isinstance(value, datetime)):
        raise ValueError("must be a date and time as in ISO 8601.")
    return value


Timestamp = Annotated[datetime | None, BeforeValidator(_check_moment), AfterValidator(_utc)]
"""Aware UTC, whatever offset came; None where nothing was set."""


def _id_as_text(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _not_blank(value) if isinstance(value, str) else value


def _without_nan(value: Any) -> Any:
    """Return a value as JSON, in which NaN and infinity are text."""
    return json.loads(to_json(value, inf_nan_mode="strings", fallback=str))


def _readable(field: str, value: Any) -> Any:
    """Return what can be shown of a value that does not have its documented type, or None."""
    if field == "process_status" or (field == "failed_reason" and value):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if field == "labels":
        items = re.split(r"\s*,\s*", value.strip()) if isinstance(value, str) else value
        items = items if isinstance(items, list) else []
        labels = [item.get("name") if isinstance(item, dict) else item for item in items]
        return [label for label in labels if isinstance(label, str) and label.strip()] or None
    return None


class Persona(BaseModel):
    """A custom avatar as the API returns it, by create, get or list.

    Only ``id`` is required, and only ``id`` and ``process_status`` decide anything. A value that
    does not have the documented type makes no answer invalid: the field is None then, and the value
    is kept in ``odd_fields`` and dumped as it came. Of ``labels`` the texts and names are read, and
    ``process_status`` and ``failed_reason`` are the value's JSON text. Unknown fields are kept, too
    (``persona.model_extra``).

    Source: the contract's response, and the vendor's page of "Get avatar by ID".
    """

    # NaN and infinity are no JSON: as text every parser and database takes them.
    model_config = ConfigDict(extra="allow", frozen=True, ser_json_inf_nan="strings")

    id: Annotated[str, BeforeValidator(_id_as_text)]
    """The persona's id, a UUID; a whole number is kept as text."""

    gender: str | None = None
    """The person's gender, ``m``, ``f`` or ``nb``."""

    creator_name: str | None = None
    """Name of the persona, used to identify the real person, not for display."""

    process_status: Annotated[str | None, StringConstraints(strip_whitespace=True)] = None
    """The status as the API sent it, documented or not, without white space around it."""

    failed_reason: str | None = None
    """Why it failed or was rejected; may be empty where nothing failed."""

    is_active: bool | None = None
    """Whether it is approved and ready to use."""

    created_at: Timestamp = None
    """When it was created."""

    updated_at: Timestamp = None
    """When the API last changed it."""

    video_scene: str | None = None
    """A word that describes the background setting."""

    keywords: str | None = None
    """Keywords, comma separated."""

    labels: list[str] | None = None
    """Labels as they were sent. "Get avatar by ID" returns neither them nor the next six fields."""

    webhook_url: str | None = None
    """The URL that the API calls when the avatar is created."""

    lipsync_input: str | None = None
    """URL of the footage as it was uploaded."""

    lipsync_input_url: str | None = None
    """URL of the footage that is used."""

    consent_video: str | None = None
    """URL of the recorded consent."""

    matching_voice_non_null: Any = None
    """The voice that belongs to the avatar; undocumented."""

    gdown_url: str | None = None
    """A Google Drive link that was given in place of ``lipsync_input``."""

    # Display fields of any type: nothing depends on them, so no value makes an answer invalid.
    suitable_industries: Any = None
    """Industries that the avatar suits."""

    type: Any = None
    """``custom`` for custom avatars."""

    age_range: Any = None
    """``child``, ``teen``, ``adult`` or ``senior``."""

    location: Any = None
    """``outdoor``, ``fantasy``, ``indoor`` or ``other``."""

    style: Any = None
    """``selfie``, ``presenter`` or ``other``."""

    preview_image_16_9: Any = None
    """URL of a landscape preview image."""

    preview_image_1_1: Any = None
    """URL of a square preview image."""

    preview_image_9_16: Any = None
    """URL of a portrait preview image."""

    preview_video_16_9: Any = None
    """URL of a landscape preview video."""

    preview_video_1_1: Any = None
    """URL of a square preview video."""

    preview_video_9_16: Any = None
    """URL of a portrait preview video."""

    landscape_preview_video: Any = None
    """URL of a landscape preview video."""

    squared_preview_video: Any = None
    """URL of a square preview video."""

    portrait_preview_video: Any = None
    """URL of a portrait preview video."""

    _odd_fields: dict[str, Any] | None = None
    _answered: dict[str, Any] | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _keep_odd_fields(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            if not isinstance(value, dict):
                raise
            found = error.errors(include_url=False, include_context=False, include_input=False)
            names = {str(item["loc"][0]) for item in found} - {"id"}
        odd = {name: _without_nan(value[name]) for name in value if name in names}
        readable = {name: _readable(name, odd[name]) for name in odd}
        fields = {name: item for name, item in value.items() if name not in odd}
        fields |= {name: item for name, item in readable.items() if item is not None}
        persona = handler(fields)
        persona._odd_fields = odd
        return persona

    @model_serializer(mode="wrap")
    def _as_it_came(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        return fields | (self._answered or {}) | self.odd_fields

    @property
    def odd_fields(self) -> dict[str, Any]:
        """The values that do not have their documented type, as they came, by field."""
        return self._odd_fields or {}

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield what is set; not the webhook's URL, which can hold a token."""
        for name, value in super().__repr_args__():
            if value not in (None, "", []) and name != "webhook_url":
                yield name, f"{value:%Y-%m-%d %H:%M} UTC" if isinstance(value, datetime) else value

    def with_labels(self, labels: list[str]) -> Self:
        """Return a copy with the labels that were sent; its ``answer`` stays what the API said."""
        copy = self.model_copy(update={"labels": labels})
        if "labels" in self.model_fields_set:
            copy._answered = {"labels": self.labels}
        else:
            copy.model_fields_set.discard("labels")
        return copy

    def answer(self) -> dict[str, Any]:
        """Return the fields that the API sent, as JSON values, NaN and infinity as text."""
        fields: dict[str, Any] = json.loads(self.model_dump_json(exclude_unset=True))
        return fields

    @property
    def status_text(self) -> str:
        """The status as the API sent it; without one, ``done`` if ``is_active``, else ``unknown``.

        Source: ``is_active: true`` is the vendor's sign of "approved and ready".
        """
        if self.process_status:
            return self.process_status
        return ProcessStatus.DONE.value if self.is_active else UNKNOWN

    @property
    def status(self) -> ProcessStatus | None:
        """The status, or None if it is undocumented."""
        return as_status(self.status_text)

    @property
    def is_terminal(self) -> bool:
        """Whether it is done, failed or rejected; an undocumented status is not final."""
        return self.status in TERMINAL


_STATUSES = {status.value: status for status in ProcessStatus}


def as_status(text: str) -> ProcessStatus | None:
    """Return the status of this name, or None if it is undocumented."""
    return _STATUSES.get(text)


_MAX_COUNT = 1_000_000_000  # a larger number is not a count


class Quota(BaseModel):
    """How many custom avatars the account may have, and how many it has.

    Source: ``GET /api/personas_v2/count/``.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    max_count: Annotated[int, Field(ge=-1, le=_MAX_COUNT)]
    """Custom avatars that the plan allows; 0 or less is taken for no limit."""

    current_count: Annotated[int, Field(ge=0, le=_MAX_COUNT)]
    """Custom avatars that the account has."""

    @property
    def room(self) -> int:
        """The number of avatars that can still be created; never negative."""
        return max(0, self.max_count - self.current_count)

    @property
    def is_full(self) -> bool:
        """Whether another create would be refused; a limit of 0 or less is taken for none."""
        return 0 < self.max_count <= self.current_count

    @property
    def used(self) -> str:
        """A sentence: how much of the plan is used."""
        if self.max_count <= 0:
            return f"{self.current_count:,} avatars; the plan has no limit."
        return f"{self.current_count:,} of {self.max_count:,} avatars of the plan are used."


def field_errors(error: ValidationError) -> list[tuple[str, str]]:
    """Return the field and the message of each error that pydantic found.

    Args:
        error: What pydantic raised.

    Returns:
        (field, message) for each error, in the order of the fields. The field is "" where the error
        does not belong to one field. A message has no full stop and does not quote the input.
    """
    found = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        field = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            found.append(("", f"There is no field {field}; check its spelling"))
        else:
            found.append((field, item["msg"].removeprefix("Value error, ").rstrip(".")))
    return found


def error_sentence(error: ValidationError) -> str:
    """Return the errors that pydantic found as text.

    Args:
        error: What pydantic raised.

    Returns:
        A sentence for each error, such as ``creator_name: Field required.``, in the order of the
        fields, without the input.
    """
    return " ".join(
        f"{field}: {message}." if field and not message.startswith(field) else f"{message}."
        for field, message in field_errors(error)
    )
