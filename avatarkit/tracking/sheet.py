"""Read a sheet of creates, and check every row before the first is sent."""

from __future__ import annotations

import csv
import difflib
import io
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from avatarkit.errors import ConfigError
from avatarkit.models import VIDEO_FIELDS, PersonaCreate, field_errors
from avatarkit.preflight import Report, Severity, check_field, check_request
from avatarkit.store.batches import folded_name
from avatarkit.store.store import Store
from avatarkit.tracking.sheet_files import Files, resolve

COLUMNS = (
    *("creator_name", "gender", "video_scene", "keywords", "labels"),
    *("lipsync_input", "consent_video", "gdown_url", "webhook_url"),
)
"""The columns of a sheet: the fields of ``PersonaCreate``, labels separated by commas."""

REQUIRED = ("creator_name", "gender")
"""The columns that no sheet can do without."""

GENDERS = {"female": "f", "male": "m", "non-binary": "nb"}
"""The words of the app's form, which a sheet may have in place of the API's letters."""

_EXAMPLES = (
    {
        "creator_name": "Ada Example",
        "gender": "f",
        "video_scene": "office",
        "keywords": "calm, friendly",
        "labels": "team a, spring",
        "lipsync_input": "ada.mp4",
        "consent_video": "ada consent.mp4",
    },
    {
        "creator_name": "James Example",
        "gender": "m",
        "video_scene": "studio",
        "lipsync_input": "james.mp4",
        "consent_video": "james consent.mp4",
    },
)


@dataclass(frozen=True)
class Row:
    """A row of a sheet, and what was found on it."""

    number: int
    """Its number in the sheet, from 1, without the header."""

    fields: Mapping[str, str]
    """The cells as they were typed, by column."""

    request: PersonaCreate | None = None
    """The create; None if there are ``faults``."""

    faults: tuple[str, ...] = ()
    """Sentences: why the row cannot be sent."""

    warnings: tuple[str, ...] = ()
    """Sentences: what the API may turn down; the row can be sent."""

    twin: str | None = None
    """A sentence: another row or the account has the name already. Not to be sent unless asked. The
    first of several rows that are the very same is no twin."""

    sent_as: str | None = None
    """The avatar, and whether it was deleted, or else the submission and its state, that the very
    same create has become before; it is not sent again."""

    waits: bool = False
    """Whether the very same create waits in a batch; sent again, it leaves that one for this."""

    reports: Mapping[str, Report] = field(default_factory=dict, repr=False)
    """The checks of its files, by field."""

    @property
    def name(self) -> str:
        """The name as it was typed."""
        return self.fields.get("creator_name", "").strip()


def template() -> str:
    """Return an example of a sheet as CSV: the header and two rows."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_EXAMPLES)
    return text.getvalue()


def read(source: str | bytes) -> list[dict[str, str]]:
    """Read a sheet.

    Args:
        source: A CSV with a header, as text or as the bytes of a file in UTF-8 or, with a byte
            order mark, UTF-16. Cells are separated by commas, semicolons or tabs. The case of the
            header's names does not matter, nor whether they have spaces.

    Returns:
        The cells of each row that is not empty, by column, as they were typed.

    Raises:
        ConfigError: It is no such sheet: a column is unknown, missing or there twice, a row has
            more cells than the header, or a quote is not closed.
    """
    text = (source if isinstance(source, str) else _decode(source)).removeprefix("\ufeff")
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    try:
        rows.extend(cells for cells in reader if any(cell.strip() for cell in cells))
    except csv.Error as error:
        raise ConfigError(
            f"The sheet cannot be read in line {reader.line_num} ({error}); check its quotes, and "
            "save it as CSV."
        ) from None
    if not rows:
        raise ConfigError(f"The sheet is empty; its first row has the columns {_names(COLUMNS)}.")
    columns = _columns(rows[0])
    sheet = []
    for number, cells in enumerate(rows[1:], 1):
        if any(cell.strip() for cell in cells[len(columns) :]):
            raise ConfigError(
                f"Row {number} has {len(cells)} cells and the header {len(columns)}; put quotes "
                "around a cell with commas."
            )
        sheet.append(dict(zip(columns, cells, strict=False)))
    if not sheet:
        raise ConfigError("The sheet has a header and no rows; add one for each avatar.")
    return sheet


def check(
    rows: Sequence[Mapping[str, str]],
    *,
    folder: Files,
    store: Store,
    live: bool,
    on_checked: Callable[[int, int], None] | None = None,
    check_video: Callable[[Path, str], Report] | None = None,
) -> list[Row]:
    """Check every row of a sheet, and nothing is sent: fields, files, videos, and twins.

    Args:
        rows: What ``read`` returned, or rows of the same columns.
        folder: The folder of the videos, or the files themselves; None: cells hold whole paths and
            URLs only.
        store: The log, which knows what was sent before.
        live: Whether they go to the live account, which cannot reach the hosts of this network.
        on_checked: Called with the number of videos that were looked at, and of all; each file is
            looked at once.
        check_video: Checks the video at a path for a field; ``preflight.check_field`` by default.

    Returns:
        The rows in their order, each with what was found.

    Raises:
        ConfigError: What looks at videos is not installed.
        StoreError: The log failed.
    """
    checked = [_build(number, dict(row), folder, live) for number, row in enumerate(rows, 1)]
    checked = _look_at_videos(checked, on_checked, check_video or check_field)
    return _find_twins(checked, store)


def _decode(data: bytes) -> str:
    is_utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return data.decode("utf-16" if is_utf16 else "utf-8")
    except UnicodeDecodeError:
        # To guess would change names.
        raise ConfigError("The sheet is not in UTF-8; save it as 'CSV UTF-8'.") from None


def _columns(header: Sequence[str]) -> list[str]:
    typed = [cell.strip() for cell in header]
    while typed and not typed[-1]:
        typed.pop()
    columns = ["_".join(cell.replace("_", " ").lower().split()) for cell in typed]
    for shown, column in zip(typed, columns, strict=True):
        if column not in COLUMNS:
            near = difflib.get_close_matches(column, COLUMNS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ConfigError(
                f"The sheet has a column {shown!r}.{hint} The columns are {_names(COLUMNS)}."
            )
        if columns.count(column) > 1:
            raise ConfigError(f"The sheet has the column {column} twice; remove one.")
    if missing := [column for column in REQUIRED if column not in columns]:
        raise ConfigError(f"The sheet has no column {_names(missing)}; add it to the first row.")
    return columns


def _names(columns: Sequence[str]) -> str:
    return ", ".join(columns)


def _build(number: int, typed: dict[str, str], folder: Files, live: bool) -> Row:
    """Return a row with its request, or with the faults of its fields and the names of files."""
    faults: list[str] = []
    values: dict[str, Any] = {}
    for column, cell in typed.items():
        text = str(cell or "").strip()
        if not text:
            continue
        values[column] = text
        if column == "gender":
            values[column] = text.lower()
            values[column] = GENDERS.get(values[column], values[column])
        elif column == "labels":
            values[column] = [part.strip() for part in text.split(",") if part.strip()]
        elif column in VIDEO_FIELDS:
            try:
                values[column] = resolve(text, folder)
            except (ValueError, OSError) as error:
                faults.append(f"{column}: {error}")
                del values[column]
    row = Row(number, typed)
    try:
        request = PersonaCreate.model_validate(values)
    except ValidationError as error:
        faults += [
            f"{name}: {message}." if name and not message.startswith(name) else f"{message}."
            for name, message in field_errors(error)
        ]
        return replace(row, faults=tuple(faults))
    # A file that was not found is no missing footage.
    asked = {fault.partition(":")[0] for fault in faults}
    findings = check_request(request, live=live)
    fatal = [each for each in findings if each.severity is Severity.FATAL and not asked]
    faults += [finding.message for finding in fatal]
    warnings = tuple(each.message for each in findings if each.severity is Severity.WARNING)
    if faults:
        return replace(row, faults=tuple(faults), warnings=warnings if not asked else ())
    return replace(row, request=request, warnings=warnings)


def _look_at_videos(
    rows: list[Row],
    on_checked: Callable[[int, int], None] | None,
    check_video: Callable[[Path, str], Report],
) -> list[Row]:
    """Check each file once, and say which rows share one."""
    users: dict[tuple[str, Path], list[Row]] = defaultdict(list)
    for row in rows:
        for name, path in row.request.files.items() if row.request else ():
            users[name, path.resolve()].append(row)
    reports: dict[tuple[str, Path], Report] = {}
    for name, path in users:
        reports[name, path] = check_video(path, name)
        if on_checked is not None:
            on_checked(len(reports), len(users))
    found = []
    for row in rows:
        own = row.request.files if row.request else {}
        keys = {name: (name, path.resolve()) for name, path in own.items()}
        faults = [f"{n}: {f.message}" for n, key in keys.items() for f in reports[key].fatal]
        warnings = [f"{n}: {f.message}" for n, key in keys.items() for f in reports[key].warnings]
        for name, key in keys.items():
            others = [
                each for each in users[key] if folded_name(each.name) != folded_name(row.name)
            ]
            if others:
                other = others[0]
                warnings.append(
                    f"{name}: {key[1].name} is that of row {other.number}, {other.name}, too."
                )
        found.append(
            replace(
                row,
                request=None if faults else row.request,
                faults=(*row.faults, *faults),
                warnings=(*row.warnings, *warnings),
                reports={name: reports[key] for name, key in keys.items()},
            )
        )
    return found


def _find_twins(rows: list[Row], store: Store) -> list[Row]:
    sendable = [row for row in rows if row.request is not None]
    requests = [row.request for row in sendable if row.request is not None]
    numbers = [row.number for row in sendable]
    before = dict(zip(numbers, store.sent_before(requests), strict=True))
    failed = dict(zip(numbers, store.sent_before(requests, failed=True), strict=True))
    deleted = store.deleted_ids()
    known = store.known_names()
    by_name: dict[str, list[Row]] = defaultdict(list)
    for row in sendable:
        by_name[folded_name(row.name)].append(row)
    found = []
    for row in rows:
        result = before.get(row.number)
        if result is not None and result.state != "prepared":
            became = result.persona_id or f"submission {result.submission_id}, {result.state}"
            # Not made again, as a place of the plan may have been freed for the other rows.
            gone = ", which was deleted" if became in deleted else ""
            found.append(replace(row, sent_as=f"{became}{gone}"))
            continue
        if (ended := failed.get(row.number)) is not None and result is None:
            again = (
                f"{ended.persona_id} was made of the very same before, and did not become ready."
            )
            row = replace(row, warnings=(*row.warnings, again))
        own = {result.submission_id} if result is not None else set()
        twin = _twin(row, by_name[folded_name(row.name)], known, own) if row.request else None
        found.append(replace(row, twin=twin, waits=result is not None))
    return found


def _twin(
    row: Row, same: Sequence[Row], known: Mapping[str, list[tuple[str, str]]], own: set[str]
) -> str | None:
    """Return a sentence about who else has this name; None if there is no other."""
    others = [
        other
        for other in same
        if other.number < row.number or (other.number > row.number and other.request != row.request)
    ]
    if others:
        other = others[0]
        is_same = other.request == row.request
        what = "is the very same" if is_same else "has the same name"
        more = f", as have {len(others) - 1} more" if len(others) > 1 and not is_same else ""
        return f"Row {other.number} {what}, {other.name}{more}."
    accounted = [each for each in known.get(folded_name(row.name), ()) if each[0] not in own]
    if accounted:
        found_id, state = accounted[0]
        return f"The account has this name already: {found_id}, {state}."
    return None
