"""Read what stands in the form as a create, and say what is wrong with which field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from avatarkit.models import Gender, PersonaCreate, field_errors, is_url
from avatarkit.paths import unquote
from avatarkit.ui.draft import FIELDS

DRIVE_HOSTS = ("drive.google.com", "docs.google.com")

_REQUIRED = {
    "creator_name": "Fill in the name of the person.",
    "gender": "Choose one.",
}
_BOTH_VIDEOS = (
    "Footage and consent must both be files or both be URLs; download the one or upload the other"
)
_PLACEHOLDERS = {"creator_name": "x", "gender": Gender.M}


@dataclass(frozen=True)
class FormReading:
    """What the fields of the form say.

    Attributes:
        request: The create; None while a field is missing or wrong.
        faults: By field, a sentence about what is filled in wrong.
        missing: By field, a sentence about what is not filled in and has to be.
    """

    request: PersonaCreate | None
    faults: Mapping[str, str]
    missing: Mapping[str, str]


def read(fields: Mapping[str, str]) -> FormReading:
    """Read the fields of the form.

    Args:
        fields: The fields as typed. ``lipsync_input`` may also be a link of Google Drive, which the
            create has as ``gdown_url``.
    """
    missing = {name: text for name, text in _REQUIRED.items() if not fields[name].strip()}
    values: dict[str, Any] = {**fields, **{name: _PLACEHOLDERS[name] for name in missing}}
    values["labels"] = fields["labels"].split(",") if fields["labels"].strip() else []
    if is_drive_link(fields["lipsync_input"]):
        values["gdown_url"] = unquote(values.pop("lipsync_input"))
    try:
        request = PersonaCreate.model_validate(values)
    except ValidationError as error:
        return FormReading(None, _by_field(error, fields), missing)
    return FormReading(None if missing else request, {}, missing)


def is_drive_link(text: str) -> bool:
    """Return whether a text is a link of Google Drive."""
    url = unquote(text)
    try:
        return is_url(url) and urlsplit(url).hostname in DRIVE_HOSTS
    except ValueError:
        return False


def _by_field(error: ValidationError, fields: Mapping[str, str]) -> dict[str, str]:
    faults: dict[str, str] = {}
    for location, message in field_errors(error):
        # What is found by comparing fields has no location, but may begin with the field's name.
        name = location.partition(".")[0] or message.partition(" must ")[0]
        text = message.removeprefix(f"{name} ")
        if not text.startswith(fields.get(name, "").strip() or " "):  # a path keeps its case
            text = f"{text[:1].upper()}{text[1:]}"
        if name == "gdown_url":
            name = "lipsync_input"
        elif name not in FIELDS:
            name, text = "consent_video", _BOTH_VIDEOS
        faults.setdefault(name, f"{text}.")
    return faults
