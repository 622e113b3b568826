"""Sheets: read as people and spreadsheets write them, and checked before anything is sent."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from avatarkit import PersonaCreate, Store, errors
from avatarkit.models import Persona
from avatarkit.preflight import Report
from avatarkit.preflight.findings import Finding, Severity, Source
from avatarkit.tracking import sheet
from avatarkit.tracking.sheet import COLUMNS, Row
from avatarkit.tracking.sheet_files import resolve
from support.manual_clock import MONDAY

HOUR = timedelta(hours=1)
HEADER = "creator_name,gender,lipsync_input"


@pytest.fixture
def store() -> Iterator[Store]:
    with Store("sqlite://", account="mine") as log:
        yield log


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of videos, beside a file that is not in it."""
    videos = tmp_path / "videos"
    (videos / "Ada").mkdir(parents=True)
    for name in ("James.MP4", "bo.mp4", "bo.mov", "Ada/talk.mp4"):
        (videos / name).write_bytes(name.encode())
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    return videos


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The files that were looked at, by field; one with "bad" in its content is bad."""
    seen: list[tuple[str, str]] = []

    def check_field(path: Path, name: str) -> Report:
        seen.append((name, path.name))
        is_bad = b"bad" in path.read_bytes()
        severity = Severity.FATAL if is_bad else Severity.WARNING
        return Report(path, (Finding("sound", severity, "It is silent.", "", "", Source.OWN),))

    monkeypatch.setattr(sheet, "check_field", check_field)
    return seen


def check(store: Store, folder: Any, *rows: dict[str, str]) -> list[Row]:
    return sheet.check(rows, folder=folder, store=store, live=True)


def row(name: str = "Ada", **cells: str) -> dict[str, str]:
    return {"creator_name": name, "gender": "f", "lipsync_input": "james"} | cells


class TestRead:
    def test_the_template_is_read_and_its_files_are_missed(
        self, store: Store, tmp_path: Path
    ) -> None:
        """It has every column, and sends nothing before its examples are replaced."""
        rows = sheet.read(sheet.template())
        assert tuple(rows[0]) == COLUMNS
        assert rows[0]["keywords"] == "calm, friendly"
        for checked in check(store, tmp_path, *rows):
            assert checked.request is None
            assert checked.faults[0].startswith("lipsync_input:")

    @given(
        some.lists(
            some.lists(
                some.text(some.characters(codec="utf-8", exclude_characters="\0")),
                min_size=3,
                max_size=3,
            ).filter(lambda cells: any(cell.strip() for cell in cells)),
            min_size=1,
            max_size=5,
        ),
        some.sampled_from(",;\t"),
        some.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
        some.sampled_from(["\n", "\r\n"]),
    )
    def test_what_a_spreadsheet_writes_is_read_as_it_was_typed(
        self, cells: list[list[str]], delimiter: str, encoding: str, end: str
    ) -> None:
        """For each separator and encoding, and for any text in the cells."""
        text = io.StringIO(newline="")
        # Python's writer leaves a bare carriage return without quotes, unlike spreadsheets.
        has_return = any("\r" in cell for row in cells for cell in row)
        quoting = csv.QUOTE_ALL if has_return else csv.QUOTE_MINIMAL
        writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
        writer.writerows([HEADER.split(","), *cells])
        rows = sheet.read(text.getvalue().encode(encoding))
        assert [list(each.values()) for each in rows] == cells

    def test_headers_are_read_as_people_write_them(self) -> None:
        """Case, spaces, empty columns at the end and empty lines do not matter."""
        text = "\ufeff Creator Name ;GENDER;lipsync  input;;\n\n;;;;\nAda;f;a.mp4;;\n\nBo;m\n"
        assert sheet.read(text) == [
            {"creator_name": "Ada", "gender": "f", "lipsync_input": "a.mp4"},
            {"creator_name": "Bo", "gender": "m"},
        ]

    @pytest.mark.parametrize(
        ("source", "sentence"),
        [
            ("", "The sheet is empty"),
            ("\n \n", "The sheet is empty"),
            (HEADER, "a header and no rows"),
            ("creator_name,gender,lipsync\nA,f,a", "Did you mean lipsync_input"),
            ("creator_name,gender,Gender\nA,f,f", "the column gender twice"),
            ("creator_name\nA", "no column gender"),
            ("creator_name,,gender\nA,,f", "a column ''"),
            (f"{HEADER}\nA,f,a,b", "Row 1 has 4 cells and the header 3"),
            (f'{HEADER}\n"A,f,a', "cannot be read in line 2"),
            (f'{HEADER}\n"A"x,f,a', "cannot be read in line 2"),
            (f"{HEADER}\n{'A' * 200_000},f,a", "cannot be read in line 2"),
            (b"creator_name,gender\nJos\xe9,m", "not in UTF-8"),
            (b"\x89PNG\r\n\x1a\n\0\0", "not in UTF-8"),
            (b"PK\x03\x04 creator_name", "has a column"),
        ],
    )
    def test_what_is_no_sheet_is_a_sentence(self, source: str | bytes, sentence: str) -> None:
        """It names the column, row or line that is wrong."""
        with pytest.raises(errors.ConfigError, match=sentence):
            sheet.read(source)

    @given(some.binary(max_size=200) | some.text(max_size=200))
    def test_any_bytes_are_read_or_refused(self, source: str | bytes) -> None:
        """Nothing but rows, or one sentence."""
        try:
            assert sheet.read(source)
        except errors.ConfigError as error:
            assert str(error).endswith(".")


class TestFiles:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("James.MP4", "James.MP4"),
            (' "james.mp4" ', "James.MP4"),
            ("JAMES", "James.MP4"),
            ("bo.mov", "bo.mov"),
            ("ada/TALK", "Ada/talk.mp4"),
            (r".\Ada\talk.mp4", "Ada/talk.mp4"),
        ],
    )
    def test_a_name_is_found_in_the_folder(self, folder: Path, text: str, name: str) -> None:
        """In any case, with or without its suffix, also in a folder of the folder."""
        assert resolve(text, folder) == folder / name

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("bo", r"bo may be bo\.mov and bo\.mp4"),
            ("talk.mp4", "talk.mp4 is not in"),
            ("jams.mp4", "did you mean James.MP4"),
            ("../secret.mp4", "leads out of the folder"),
            (r"Ada\..\..\secret.mp4", "leads out of the folder"),
            ("link.mp4", "a link that leads out"),
            ("out/secret", "a link that leads out"),
            ("none/a.mp4", "none is not in"),
        ],
    )
    def test_no_other_file_is_taken(self, folder: Path, text: str, sentence: str) -> None:
        """None outside of the folder, and none of two that fit."""
        (folder / "link.mp4").symlink_to(folder.parent / "secret.mp4")
        (folder / "out").symlink_to(folder.parent)
        with pytest.raises(ValueError, match=sentence):
            resolve(text, folder)

    def test_whole_paths_and_urls_are_taken_as_they_are(self, folder: Path) -> None:
        """Also without a folder, in which no name can be found."""
        path = folder.parent / "secret.mp4"
        for files in (folder, None):
            assert resolve(str(path), files) == path
            assert resolve("https://a.example/a.mp4", files) == "https://a.example/a.mp4"
        assert resolve(path.as_uri(), None) == path
        with pytest.raises(ValueError, match="has no folder"):
            resolve("james", None)

    def test_files_can_be_given_themselves(self, folder: Path) -> None:
        """Such as those that were dropped on a page, which lie in folders of their own."""
        files = [folder / "James.MP4", folder / "Ada" / "talk.mp4"]
        assert resolve("talk", files) == files[1]
        with pytest.raises(ValueError, match="bo is not in the files that were given"):
            resolve("bo", files)

    def test_two_names_that_differ_in_case_are_told_apart(self, folder: Path) -> None:
        """The one that is written so is taken; any other spelling fits both."""
        (folder / "JAMES.mp4").write_bytes(b"other")
        if len(list(folder.glob("*"))) < 5:
            pytest.skip("This file system has no case.")
        assert resolve("JAMES.mp4", folder) == folder / "JAMES.mp4"
        with pytest.raises(ValueError, match="write the whole name"):
            resolve("james.mp4", folder)


@pytest.mark.usefixtures("looked_at")
class TestCheck:
    def test_three_bad_rows_of_fifty_are_named(self, store: Store, folder: Path) -> None:
        """Each of them by its fault, and the other rows have their requests."""
        (folder / "bad.mp4").write_bytes(b"bad")
        rows = [row(f"n{number}") for number in range(1, 51)]
        rows[6] |= {"gender": "x"}
        rows[23] |= {"lipsync_input": "nowhere.mp4"}
        rows[41] |= {"lipsync_input": "bad.mp4"}
        checked = check(store, folder, *rows)
        assert {each.number: each.faults for each in checked if each.faults} == {
            7: ("gender: Input should be 'm', 'f' or 'nb'.",),
            24: (f"lipsync_input: nowhere.mp4 is not in {folder}; check the name and the folder.",),
            42: ("lipsync_input: It is silent.",),
        }
        assert [each.number for each in checked if each.request is None] == [7, 24, 42]

    def test_each_file_is_looked_at_once(
        self, store: Store, folder: Path, looked_at: list[tuple[str, str]]
    ) -> None:
        """Once for each field that it is used in, and that it is another's too is said."""
        done: list[tuple[int, int]] = []
        rows = [row("Ada"), row("Bo", consent_video="james.mp4"), row("Bo", keywords="b")]
        checked = sheet.check(
            rows,
            folder=folder,
            store=store,
            live=True,
            on_checked=lambda *counts: done.append(counts),
        )
        assert looked_at == [("lipsync_input", "James.MP4"), ("consent_video", "James.MP4")]
        assert done == [(1, 2), (2, 2)]
        assert set(checked[1].reports) == {"lipsync_input", "consent_video"}
        assert checked[0].warnings[-1] == "lipsync_input: James.MP4 is that of row 2, Bo, too."
        assert not any("row 3" in each for each in checked[1].warnings)

    def test_cells_become_the_fields_of_a_create(self, store: Store, folder: Path) -> None:
        """Blank cells are none, labels are separated by commas, and genders have no case."""
        cells = {"gender": " F ", "labels": "a, b ,,c", "keywords": " ", "video_scene": "office"}
        (checked,) = check(store, folder, row(**cells))
        assert checked.fields["gender"] == " F "
        assert checked.request == PersonaCreate(
            creator_name="Ada",
            gender="f",
            labels=["a", "b", "c"],
            video_scene="office",
            lipsync_input=folder / "James.MP4",
        )

    def test_a_row_without_footage_is_bad(self, store: Store, folder: Path) -> None:
        """The API would take a place of the plan for an avatar that cannot be made."""
        missing, url = check(
            store, folder, row(lipsync_input=" "), row("Bo", lipsync_input="http://10.0.0.1/a.mp4")
        )
        assert missing.faults[0].startswith("There is no footage")
        assert url.request is not None
        assert any("only this machine or network" in each for each in url.warnings)

    def test_twins_are_pointed_out(self, store: Store, folder: Path) -> None:
        """Within the sheet, and with avatars and creates of the account that did not fail."""
        for name, status in (("Old", "done"), ("Failed", "rejected")):
            persona = Persona(id=f"id-{name}", creator_name=name, process_status=status)
            store.record(persona, asked_at=MONDAY, answered_at=MONDAY, source="list")
        going = store.prepare(PersonaCreate(creator_name="Going", gender="m"), MONDAY)
        names = ("Ada", " aDA", "OLD", "Failed", "Going", "New", "new  one", "New one")
        twins = [each.twin for each in check(store, folder, *map(row, names))]
        assert twins == [
            "Row 2 has the same name, aDA.",
            "Row 1 has the same name, Ada.",
            "The account has this name already: id-Old, done.",
            None,
            f"The account has this name already: {going}, prepared.",
            None,
            "Row 8 has the same name, New one.",
            "Row 7 has the same name, new  one.",
        ]
        first, second = check(store, folder, row(), row())
        assert (first.twin, second.twin) == (None, "Row 1 is the very same, Ada.")

    def test_what_was_sent_before_is_known(self, store: Store, folder: Path) -> None:
        """The very same create is no twin of itself; one that waits in a batch can be sent."""
        first, second = (each.request for each in check(store, folder, row("Ada"), row("Bo")))
        assert first is not None
        assert second is not None
        sent = store.prepare(first, MONDAY)
        persona = Persona(id="p1", process_status="pending", creator_name="Ada")
        store.accepted(sent, persona, MONDAY)
        store.prepare_batch([second], MONDAY)
        ada, bo, other = check(
            store, folder, row("Ada"), row("Bo"), row("Ada", keywords="another one")
        )
        assert (ada.sent_as, ada.twin) == ("p1", None)
        assert (bo.sent_as, bo.twin) == (None, None)
        assert bo.request == second
        failed = Persona(id="p1", process_status="failed", creator_name="Ada")
        later = {"asked_at": MONDAY + HOUR, "answered_at": MONDAY + HOUR, "asked_no": store.ask()}
        store.record(failed, source="poll", **later)
        (again,) = check(store, folder, row("Ada"))
        assert (again.sent_as, again.twin) == (None, None)
        assert again.warnings[-1].startswith("p1 was made of the very same before")
        assert other.sent_as is None
        assert other.twin == "Row 1 has the same name, Ada."

    def test_what_was_deleted_is_not_sent_again(self, store: Store, folder: Path) -> None:
        """It may have been deleted to free a place for the rest of the sheet, and it is said."""
        (ada,) = (each.request for each in check(store, folder, row("Ada")))
        assert ada is not None
        persona = Persona(id="p1", process_status="done", creator_name="Ada")
        store.accepted(store.prepare(ada, MONDAY), persona, MONDAY)
        store.mark_deleted("p1", MONDAY)
        (again,) = check(store, folder, row("Ada"))
        assert (again.sent_as, again.twin) == ("p1, which was deleted", None)

    def test_what_is_uncertain_is_not_said_to_be_sent(self, store: Store, folder: Path) -> None:
        """It says that it is not known, and which submission it is."""
        (ada,) = (each.request for each in check(store, folder, row("Ada")))
        assert ada is not None
        submission_id = store.prepare(ada, MONDAY)
        store.sending(submission_id, MONDAY)
        store.uncertain(submission_id, MONDAY, "It broke.")
        (again,) = check(store, folder, row("Ada"))
        assert again.sent_as == f"submission {submission_id}, uncertain"

    @pytest.mark.parametrize(("word", "gender"), [("Female", "f"), (" non-binary", "nb")])
    def test_a_gender_may_be_a_word(
        self, store: Store, folder: Path, word: str, gender: str
    ) -> None:
        """The words of the app's form are read as the letters of the API."""
        (ada,) = check(store, folder, row("Ada", gender=word))
        assert ada.request is not None
        assert ada.request.gender == gender
