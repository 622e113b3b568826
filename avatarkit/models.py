"""What the API says and what is said to it, as pydantic models.

Strict in what is sent (``PersonaCreate`` refuses what the contract refuses), tolerant in what is
read (``Persona`` keeps unknown fields and unknown statuses).

Source: the contract of ``POST /api/personas_v2/`` and the vendor's page of "Get avatar by ID".
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)


class Gender(StrEnum):
    """``m`` male, ``f`` female, ``nb`` non-binary."""

    M = "m"
    F = "f"
    NB = "nb"


class ProcessStatus(StrEnum):
    """The nine statuses, in the order in which a persona goes through them.

    ``done`` is the usual end; ``failed`` and ``rejected`` can follow any other.
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
        """True when nothing can follow: done, failed, rejected."""
        return self in TERMINAL


TERMINAL = frozenset({ProcessStatus.DONE, ProcessStatus.FAILED, ProcessStatus.REJECTED})
STAGES = tuple(status for status in ProcessStatus if status not in TERMINAL)
"""The six statuses that a persona spends time in, in order."""

VIDEO_FIELDS = ("lipsync_input", "consent_video")
"""The fields of a create that take a video: a file, or a URL."""

UNKNOWN = "unknown"
"""Stands in the log where an answer carried no status at all."""


def is_url(value: object) -> bool:
    """True for a string that begins like an http(s) URL; everything else is taken for a path."""
    return isinstance(value, str) and value.lower().startswith(("http://", "https://"))


def check_file(path: Path) -> None:
    """Raise ``ValueError``, one sentence, unless ``path`` is a file with something in it."""
    # Not all file systems keep names in UTF-8, and sentences are.
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


def _check_http_url(value: str, what: str) -> str:
    try:
        parts = urlsplit(value)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        fits = False
    if not fits or not value.isprintable() or " " in value:
        raise ValueError(f"{what} must be a URL such as https://example.com/…; this one is not.")
    return value


def _video(value: Any) -> Any:
    """A URL stays a string, anything else becomes a checked ``Path``; blank means none."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str) and is_url(value.strip()):
        return _check_http_url(value.strip(), "A video's URL")
    if isinstance(value, str) and "://" in value:
        raise ValueError("A video must be the path of a file or an http(s) URL.")
    if isinstance(value, (str, os.PathLike)):
        path = Path(value)
        with suppress(RuntimeError):  # a name that begins with ~ and means nobody's home
            path = path.expanduser()
        try:
            check_file(path)
        except OSError as error:  # a name longer than the file system allows, for one
            raise ValueError(f"This path cannot be opened ({error.strerror}).") from None
        except UnicodeError:
            raise ValueError("This path cannot be written as the name of a file.") from None
        return path
    raise ValueError("A video must be the path of a file or an http(s) URL.")


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty; fill it in.")
    return value


def _label(value: str) -> str:
    if not value.strip():
        raise ValueError("A label must not be empty; fill it in or leave it out.")
    return value


Video = Annotated[Path | str | None, BeforeValidator(_video)]


class PersonaCreate(BaseModel):
    """What a person asks for: one custom avatar.

    ``lipsync_input`` is the footage, ``consent_video`` the recorded consent; each is the path of
    a file, a public http(s) URL, or None. Both must be of the same kind, as files and URLs go to
    different endpoints.

    Raises ``pydantic.ValidationError`` (a ``ValueError``); ``sentence`` renders it.

    Source: the contract (required fields, enum, lengths).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    gender: Gender
    creator_name: Annotated[str, Field(max_length=255), AfterValidator(_not_blank)]
    video_scene: Annotated[str, Field(max_length=255)] | None = None
    keywords: Annotated[str, Field(max_length=255)] | None = None
    labels: list[Annotated[str, AfterValidator(_label)]] = Field(default_factory=list)
    webhook_url: Annotated[str, Field(max_length=200)] | None = None
    lipsync_input: Video = None
    consent_video: Video = None

    @model_validator(mode="before")
    @classmethod
    def _blank_is_none(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        optional = ("video_scene", "keywords", "webhook_url")
        return {
            key: None if key in optional and isinstance(value, str) and not value.strip() else value
            for key, value in values.items()
        }

    @model_validator(mode="after")
    def _consistent(self) -> PersonaCreate:
        if self.webhook_url is not None:
            _check_http_url(self.webhook_url, "webhook_url")
        if self.files and self.urls:
            raise ValueError(
                "lipsync_input and consent_video must both be files or both be URLs; "
                "download the one or upload the other."
            )
        return self

    def _videos(self) -> dict[str, Path | str]:
        pairs = (("lipsync_input", self.lipsync_input), ("consent_video", self.consent_video))
        return {name: video for name, video in pairs if video is not None}

    @property
    def files(self) -> dict[str, Path]:
        """The videos that are files, by field."""
        return {name: v for name, v in self._videos().items() if isinstance(v, Path)}

    @property
    def urls(self) -> dict[str, str]:
        """The videos that are URLs, by field."""
        return {name: v for name, v in self._videos().items() if isinstance(v, str)}

    def fields(self) -> dict[str, Any]:
        """The fields that are set, without the videos, as JSON values."""
        dumped = self.model_dump(
            mode="json", exclude_none=True, exclude={"lipsync_input", "consent_video"}
        )
        return dumped if self.labels else {k: v for k, v in dumped.items() if k != "labels"}


def _utc(value: datetime | None) -> datetime | None:
    if value is None:
        return None
    # A timestamp without an offset is taken for UTC, Django's own default.
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError("This moment lies outside the years 1 to 9999.") from None


def _blank_is_none(value: Any) -> Any:
    return None if value == "" else value


Timestamp = Annotated[datetime | None, BeforeValidator(_blank_is_none), AfterValidator(_utc)]
"""Aware UTC, whatever offset came; None where nothing was set."""


class Persona(BaseModel):
    """A custom avatar as the API shows it, by create, get or list.

    Only ``id`` is sure to be there. Unknown fields are kept (``persona.model_extra``).
    ``process_status`` is the string that came; ``status`` reads it.

    Source: the contract's response, and the vendor's page of "Get avatar by ID".
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    id: Annotated[str, Field(min_length=1)]
    gender: str | None = None
    creator_name: str | None = None
    process_status: str | None = None
    failed_reason: str | None = None
    is_active: bool | None = None
    created_at: Timestamp = None
    updated_at: Timestamp = None
    video_scene: str | None = None
    keywords: str | None = None
    labels: list[str] | None = None
    webhook_url: str | None = None
    lipsync_input: str | None = None
    lipsync_input_url: str | None = None
    consent_video: str | None = None
    matching_voice_non_null: Any = None
    gdown_url: str | None = None
    # Nothing here depends on these: whatever they are, they do not spoil the rest.
    suitable_industries: Any = None
    type: Any = None
    age_range: Any = None
    location: Any = None
    style: Any = None
    preview_image_16_9: Any = None
    preview_image_1_1: Any = None
    preview_image_9_16: Any = None
    preview_video_16_9: Any = None
    preview_video_1_1: Any = None
    preview_video_9_16: Any = None
    landscape_preview_video: Any = None
    squared_preview_video: Any = None
    portrait_preview_video: Any = None

    @property
    def status_text(self) -> str:
        """The status as it came; without one, ``done`` if ``is_active``, else ``unknown``.

        Source: ``is_active: true`` is the vendor's own sign of "approved and ready".
        """
        if self.process_status:
            return self.process_status
        return ProcessStatus.DONE.value if self.is_active else UNKNOWN

    @property
    def status(self) -> ProcessStatus | None:
        """The status, or None when it is one that nobody has heard of."""
        return as_status(self.status_text)

    @property
    def is_terminal(self) -> bool:
        """True when it is done, failed or rejected; an unknown status is not finished."""
        return self.status in TERMINAL


def as_status(text: str) -> ProcessStatus | None:
    """The status of that name, or None when it is one that nobody has heard of."""
    try:
        return ProcessStatus(text)
    except ValueError:
        return None


_MOST = 1_000_000_000


class Quota(BaseModel):
    """How many custom avatars the account may have, and has.

    Source: ``GET /api/personas_v2/count/``.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    max_count: Annotated[int, Field(ge=-1, le=_MOST)]
    current_count: Annotated[int, Field(ge=0, le=_MOST)]

    @property
    def room(self) -> int:
        """How many more can be created; never negative."""
        return max(0, self.max_count - self.current_count)

    @property
    def is_full(self) -> bool:
        """True when another create would be refused; a limit of 0 or less is taken for none."""
        return 0 < self.max_count <= self.current_count


def complaints(error: ValidationError) -> list[tuple[str, str]]:
    """Return (field, complaint) of each fault that pydantic found, without the input.

    The field is "" where the fault is not one field's; a complaint has no full stop.
    """
    found = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        field = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            found.append(("", f"There is no field {field}; check its spelling"))
        else:
            found.append((field, item["msg"].removeprefix("Value error, ").rstrip(".")))
    return found


def sentence(error: ValidationError) -> str:
    """Return what pydantic refused: a sentence for each field, in their order, without the input.

    Such as ``creator_name: Field required.``
    """
    return " ".join(
        f"{field}: {complaint}." if field and not complaint.startswith(field) else f"{complaint}."
        for field, complaint in complaints(error)
    )
