"""What is sent is strict, what is read is tolerant."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from avatarkit.models import (
    STAGES,
    TERMINAL,
    UNKNOWN,
    Gender,
    Persona,
    PersonaCreate,
    ProcessStatus,
    Quota,
    as_status,
    check_file,
    error_sentence,
    is_url,
)

URL = "https://example.com/james.mp4"
FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"  # one picture, five code points


def create(**values: Any) -> PersonaCreate:
    return PersonaCreate(**{"gender": "m", "creator_name": "James", **values})


def refusal(**values: Any) -> str:
    """The sentence that refuses these values."""
    with pytest.raises(ValidationError) as caught:
        create(**values)
    return error_sentence(caught.value)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "james.mp4"
    path.write_bytes(b"not looked into here")
    return path


# Statuses


def test_nine_statuses_in_the_contracts_order() -> None:
    """The statuses are the contract's nine, in the order in which a persona goes through them."""
    assert [status.value for status in ProcessStatus] == [
        "pending",
        "processing",
        "voice_creating",
        "video_validating",
        "crop_and_matte",
        "reviewing",
        "done",
        "failed",
        "rejected",
    ]


def test_stages_and_ends_share_out_the_statuses() -> None:
    """Every status is one of six stages or three ends, and is_terminal says which."""
    assert set(STAGES) | TERMINAL == set(ProcessStatus)
    assert len(STAGES) + len(TERMINAL) == 9
    assert {status for status in ProcessStatus if status.is_terminal} == {
        "done",
        "failed",
        "rejected",
    }


def test_unknown_status_is_none() -> None:
    """An undocumented status has no enum; a documented status has."""
    assert as_status("thinking_hard") is None
    assert as_status("reviewing") is ProcessStatus.REVIEWING


# PersonaCreate: text


def test_gender_and_name_suffice() -> None:
    """Only gender and creator_name are required, and only they are sent then."""
    assert create().fields() == {"gender": "m", "creator_name": "James"}


@pytest.mark.parametrize("field", ["gender", "creator_name"])
def test_required_field_is_named(field: str) -> None:
    """Leaving out a required field is refused with a sentence that begins with its name."""
    values = {"gender": "m", "creator_name": "James"}
    del values[field]
    with pytest.raises(ValidationError) as caught:
        PersonaCreate(**values)  # type: ignore[arg-type]
    assert error_sentence(caught.value) == f"{field}: Field required."


@pytest.mark.parametrize("gender", list(Gender))
def test_gender_of_the_contract_is_sent_as_its_letter(gender: Gender) -> None:
    """Enum and letter are the same gender, and are sent as the letter."""
    assert create(gender=gender).fields()["gender"] == gender.value
    assert create(gender=gender.value).gender is gender


def test_another_gender_is_refused() -> None:
    """A gender outside of the contract is refused with the three that are not."""
    assert refusal(gender="x") == "gender: Input should be 'm', 'f' or 'nb'."


@pytest.mark.parametrize("field", ["creator_name", "video_scene", "keywords"])
def test_text_of_255_passes_and_256_does_not(field: str) -> None:
    """255 characters fit and 256 are refused; an emoji is one character."""
    assert getattr(create(**{field: "\U0001f600" * 255}), field) == "\U0001f600" * 255
    assert refusal(**{field: "x" * 256}).startswith(f"{field}: String should have at most 255")


def test_length_counts_code_points() -> None:
    """A picture of several code points counts as several, as it does in a database."""
    assert create(creator_name=FAMILY * 51).creator_name == FAMILY * 51
    assert "at most 255" in refusal(creator_name=FAMILY * 52)


def test_text_is_stripped_before_it_is_measured() -> None:
    """White space around a text is neither sent nor counted."""
    assert create(creator_name=f"  {'x' * 255}\n").creator_name == "x" * 255


@pytest.mark.parametrize("name", ["", "   ", "\n"])
def test_blank_name_is_refused(name: str) -> None:
    """A name of nothing but white space is no name."""
    assert refusal(creator_name=name) == "creator_name: must not be empty; fill it in."


@pytest.mark.parametrize("field", ["video_scene", "keywords", "webhook_url"])
@pytest.mark.parametrize("blank", ["", "  ", None])
def test_blank_optional_text_is_left_out(field: str, blank: str | None) -> None:
    """An optional text that was left blank in a form is not sent."""
    assert field not in create(**{field: blank}).fields()


def test_labels_are_kept_in_order() -> None:
    """Labels are sent as they came, without the white space around them."""
    assert create(labels=["sandbox:done", " b ", "a"]).fields()["labels"] == [
        "sandbox:done",
        "b",
        "a",
    ]


@pytest.mark.parametrize("label", ["", "  "])
def test_empty_label_is_refused(label: str) -> None:
    """An empty label is refused with its place in the list."""
    assert refusal(labels=["a", label]).startswith("labels.1: A label must not be empty;")


def test_labels_are_not_one_string() -> None:
    """A single string is not taken for a list of letters."""
    assert refusal(labels="abc") == "labels: Input should be a valid list."


def test_unknown_field_is_refused_by_name() -> None:
    """A misspelt field is refused by its name instead of being lost."""
    assert refusal(creater_name="x") == "There is no field creater_name; check its spelling."


def test_what_is_not_a_mapping_is_refused() -> None:
    """A list in place of the fields is a validation error, nothing worse."""
    with pytest.raises(ValidationError):
        PersonaCreate.model_validate([("gender", "m")])


def test_every_defect_gets_its_sentence() -> None:
    """Several defects are all named, in the order of the fields, and never with the input."""
    refused = refusal(gender="secretly", creator_name=" ", keywords="k" * 256)
    assert refused == (
        "gender: Input should be 'm', 'f' or 'nb'. creator_name: must not be empty; fill it in. "
        "keywords: String should have at most 255 characters."
    )


def test_a_request_cannot_be_changed() -> None:
    """What was checked stays as it was checked."""
    request = create()
    with pytest.raises(ValidationError):
        request.creator_name = ""


# PersonaCreate: the webhook


@pytest.mark.parametrize(
    "url",
    ["https://example.com/hook", "HTTP://localhost:8000/a?b=c", "http://[::1]:80/", "http://é.fr"],
)
def test_webhook_url_is_sent_as_it_came(url: str) -> None:
    """An http(s) URL with a host is a webhook URL."""
    assert create(webhook_url=url).fields()["webhook_url"] == url


@pytest.mark.parametrize(
    "url",
    [
        "example.com/hook",
        "ftp://example.com",
        "https://",
        "https:///path",
        "https://exam ple.com",
        "https://example.com/\x00",
        "https://example.com/a\nb",
        "http://[::1",
        "http://example.com:99999/",
        "http://example.com:zero/",
    ],
)
def test_what_is_no_webhook_url_is_refused(url: str) -> None:
    """Anything else is refused with a sentence that shows what a URL looks like."""
    assert refusal(webhook_url=url) == (
        "webhook_url must be a URL such as https://example.com/…; this one is not."
    )


def test_webhook_url_of_200_passes_and_201_does_not() -> None:
    """The contract's limit of 200 characters holds for the whole URL."""
    longest = "https://example.com/".ljust(200, "x")
    assert create(webhook_url=longest).webhook_url == longest
    assert "at most 200 characters" in refusal(webhook_url=longest + "x")


# PersonaCreate: the videos


def test_neither_video_is_fine() -> None:
    """Both videos may be missing; the contract requires neither."""
    request = create(lipsync_input="  ", consent_video=None)
    assert (request.files, request.urls) == ({}, {})


@pytest.mark.parametrize("kind", [str, Path])
def test_path_of_a_file_becomes_a_file(video: Path, kind: type) -> None:
    """A path, as string or Path, is among the files and never among the fields."""
    request = create(lipsync_input=kind(video))
    assert request.files == {"lipsync_input": video}
    assert request.urls == {}
    assert set(request.fields()) == {"gender", "creator_name"}


def test_urls_stay_urls() -> None:
    """http(s) URLs are kept as strings, without white space around them."""
    request = create(lipsync_input=f" {URL}\n", consent_video="HTTP://example.com/c")
    assert request.urls == {"lipsync_input": URL, "consent_video": "HTTP://example.com/c"}
    assert request.files == {}


def test_path_beside_url_is_refused(video: Path) -> None:
    """A file and a URL go to different endpoints, so the two cannot be mixed."""
    assert refusal(lipsync_input=video, consent_video=URL) == (
        "lipsync_input and consent_video must both be files or both be URLs; "
        "download the one or upload the other."
    )


def test_a_drive_link_is_footage(video: Path) -> None:
    """gdown_url is a URL in place of lipsync_input, never beside it."""
    request = create(gdown_url=f" {URL}\n")
    assert (request.gdown_url, request.urls, request.fields()["gdown_url"]) == (URL, {}, URL)
    assert create(gdown_url=" ").gdown_url is None
    assert refusal(gdown_url="1AbC") == (
        "gdown_url must be a URL such as https://example.com/…; this one is not."
    )
    assert refusal(gdown_url=URL, lipsync_input=video) == (
        "Give the footage as lipsync_input or as gdown_url, not as both."
    )


def test_extra_fields_are_kept_as_they_are() -> None:
    """Fields that the model does not have are sent on purpose: texts, numbers, booleans, lists."""
    extra = {"original_voice_provider": " x ", "n": 1, "share": 0.5, "on": True, "tags": ["a", 1]}
    request = create(extra=extra)
    assert request.fields()["extra"] == extra
    assert PersonaCreate(**request.fields()) == request


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ({"gender": "f"}, "extra: gender is a field of its own; give it as gender=."),
        ({"gdown_url": URL}, "extra: gdown_url is a field of its own; give it as gdown_url=."),
        ({" ": "x"}, "extra: '' is not the name of a field."),
        ({"a\nb": "x"}, "extra: 'a\\nb' is not the name of a field."),
        ({"x": {}}, "extra: x must be a text, a number, a boolean or a list of these."),
        ({"x": [[]]}, "extra: x must be a text, a number, a boolean or a list of these."),
        ({"x": float("nan")}, "extra: x must be a text, a number, a boolean or a list of these."),
    ],
)
def test_extra_fields_that_cannot_be_sent(extra: dict[str, Any], sentence: str) -> None:
    """A known field is not overridden, and what is no JSON value is refused with its name."""
    assert refusal(extra=extra) == sentence


def test_missing_file(tmp_path: Path) -> None:
    """A path that leads nowhere is named."""
    path = tmp_path / "gone.mp4"
    assert refusal(lipsync_input=path) == f"lipsync_input: {path} does not exist; check the path."


def test_directory(tmp_path: Path) -> None:
    """A directory is no video."""
    assert "is a directory; give the path of a video file." in refusal(consent_video=tmp_path)


def test_empty_file(tmp_path: Path) -> None:
    """A file of no bytes is refused before anything is sent."""
    path = tmp_path / "empty.mp4"
    path.touch()
    assert "is empty; export or download the video again." in refusal(lipsync_input=path)


def test_unreadable_file(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be read is refused with a word about permissions."""
    # The tests may run as root, who may read everything.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "cannot be read; check its permissions." in refusal(lipsync_input=video)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_pipe_is_refused_without_being_opened(tmp_path: Path) -> None:
    """A named pipe, which would block its reader, is no video."""
    path = tmp_path / "pipe.mp4"
    os.mkfifo(path)
    assert "is a device or a pipe" in refusal(lipsync_input=path)


def test_name_longer_than_the_file_system_allows() -> None:
    """A name that cannot be opened at all is a sentence, too."""
    assert refusal(lipsync_input="x" * 5_000).startswith(
        "lipsync_input: This path cannot be opened"
    )


def test_home_is_expanded(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` stands for the home folder, as in a shell."""
    monkeypatch.setenv("HOME", str(video.parent))
    monkeypatch.setenv("USERPROFILE", str(video.parent))
    assert create(lipsync_input="~/james.mp4").files == {"lipsync_input": video}


def test_tilde_of_an_unknown_user(tmp_path: Path) -> None:
    """A file whose name begins with a tilde is found all the same."""
    (tmp_path / "~draft.mp4").write_bytes(b"x")
    assert create(lipsync_input="~draft.mp4").files == {"lipsync_input": Path("~draft.mp4")}
    assert "does not exist" in refusal(lipsync_input="~nobody-of-that-name.mp4")


@pytest.mark.parametrize("value", ["ftp://example.com/a.mp4", 7, b"a.mp4", ["a"]])
def test_what_is_neither_path_nor_url(value: object) -> None:
    """Another kind of value, or of URL, is refused with the two kinds that fit."""
    assert refusal(lipsync_input=value) == (
        "lipsync_input: A video must be the path of a file or an http(s) URL."
    )


def test_url_without_host() -> None:
    """A URL that leads nowhere is refused."""
    assert "A video's URL must be a URL such as" in refusal(consent_video="https://")


def test_check_file_names_the_file(tmp_path: Path) -> None:
    """check_file passes a file that has something in it, and raises a ValueError else."""
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    check_file(path)
    with pytest.raises(ValueError, match="does not exist"):
        check_file(tmp_path / "b.mp4")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (URL, True),
        ("HTTPS://X", True),
        ("james.mp4", False),
        ("", False),
        (Path("a"), False),
        (None, False),
    ],
)
def test_is_url(value: object, expected: bool) -> None:
    """Only a string that begins like an http(s) URL is one."""
    assert is_url(value) is expected


# Without control characters, of which Python's strip() takes some for white space.
printable = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=260)


@given(printable, printable, st.lists(printable, max_size=4))
def test_any_text_is_kept_or_refused_with_a_sentence(
    name: str, scene: str, labels: list[str]
) -> None:
    """Whatever is typed is sent as typed, white space around it apart, or refused by field."""
    fits = (
        0 < len(name.strip()) <= 255
        and len(scene.strip()) <= 255
        and all(label.strip() for label in labels)
    )
    try:
        request = create(creator_name=name, video_scene=scene, labels=labels)
    except ValidationError as error:
        assert not fits
        assert error_sentence(error).split(":")[0].split(".")[0] in (
            "creator_name",
            "video_scene",
            "labels",
        )
        return
    assert fits
    sent = request.fields()
    assert sent["creator_name"] == name.strip()
    assert sent.get("video_scene", "") == scene.strip()
    assert sent.get("labels", []) == [label.strip() for label in labels]


@given(st.one_of(st.text(), st.integers(), st.binary(), st.lists(st.text()), st.none()))
def test_any_value_for_a_video_never_breaks_anything(value: object) -> None:
    """Arbitrary input for a video is taken or refused, and no other exception comes out."""
    try:
        create(lipsync_input=value)
    except ValidationError as error:
        assert error_sentence(error).endswith(".")


# Persona


def test_only_an_id_is_needed() -> None:
    """An answer with nothing but an id is a persona in an unknown status."""
    persona = Persona(id="1")
    assert (persona.status_text, persona.status, persona.is_terminal) == (UNKNOWN, None, False)


@pytest.mark.parametrize(
    "values", [{}, *({"id": value} for value in ("", " \n", None, True, 1.5, ["a"], {"a": 1}))]
)
def test_without_an_id_it_is_no_persona(values: dict[str, Any]) -> None:
    """What has no id cannot be followed."""
    with pytest.raises(ValidationError):
        Persona(**values)


def test_unknown_fields_are_kept() -> None:
    """An undocumented field can be read, and is dumped again."""
    persona = Persona(id="1", mood="sunny")  # type: ignore[call-arg]
    assert persona.model_extra == {"mood": "sunny"}
    assert persona.model_dump()["mood"] == "sunny"


def test_unknown_status_is_kept_as_it_came() -> None:
    """An undocumented status is shown as it came, and is not final."""
    persona = Persona(id="1", process_status="Thinking hard")
    assert (persona.status_text, persona.status, persona.is_terminal) == (
        "Thinking hard",
        None,
        False,
    )


@pytest.mark.parametrize("status", list(ProcessStatus))
def test_known_status_is_read(status: ProcessStatus) -> None:
    """A known status gives its enum, and says whether it is an end."""
    persona = Persona(id="1", process_status=status.value)
    assert persona.status is status
    assert persona.is_terminal is status.is_terminal


@pytest.mark.parametrize("missing", [None, ""])
@pytest.mark.parametrize(
    ("is_active", "expected"), [(True, "done"), (False, UNKNOWN), (None, UNKNOWN)]
)
def test_missing_status_is_read_through_is_active(
    missing: str | None, is_active: bool | None, expected: str
) -> None:
    """Without a status, is_active is the vendor's own sign of done."""
    persona = Persona(id="1", process_status=missing, is_active=is_active)
    assert persona.status_text == expected


def test_status_wins_over_is_active() -> None:
    """Where the two disagree the status counts, and both stay readable."""
    persona = Persona(id="1", process_status="reviewing", is_active=True)
    assert (persona.status, persona.is_active) == (ProcessStatus.REVIEWING, True)


def test_timestamps_become_utc() -> None:
    """An offset is converted, and a timestamp without one is taken for UTC."""
    persona = Persona.model_validate(
        {
            "id": "1",
            "created_at": "2025-01-09T12:26:10.074640-08:00",
            "updated_at": "2025-01-09T12:26:10",
        }
    )
    assert persona.created_at == datetime(2025, 1, 9, 20, 26, 10, 74640, tzinfo=UTC)
    assert persona.updated_at == datetime(2025, 1, 9, 12, 26, 10, tzinfo=UTC)
    assert persona.created_at.tzinfo is persona.updated_at.tzinfo is UTC
    assert Persona(id="1", created_at=None).created_at is None


def test_what_nothing_depends_on_spoils_nothing() -> None:
    """Fields that are only shown may be anything, and a moment that is blank is none."""
    odd = {"id": "1", "age_range": [1, 2], "type": {}, "style": 3, "updated_at": ""}
    persona = Persona.model_validate(odd)
    assert (persona.age_range, persona.type, persona.style) == ([1, 2], {}, 3)
    assert persona.updated_at is None


ODD = {
    "an object for a reason": ("failed_reason", {"code": 40123}, '{"code": 40123}'),
    "a list for a reason": ("failed_reason", ["李"], '["李"]'),
    "an empty object for a reason": ("failed_reason", {}, None),
    "objects for labels": ("labels", [{"id": 3, "name": "a"}, {"id": 4}, None, "b"], ["a", "b"]),
    "one text for labels": ("labels", "a, b", ["a", "b"]),
    "a null among labels": ("labels", ["a", None], ["a"]),
    "a number for labels": ("labels", 3, None),
    "a number for a name": ("creator_name", 42, None),
    "an object for a gender": ("gender", {"value": "f"}, None),
    "a word for a flag": ("is_active", "pending", None),
    "a list for keywords": ("keywords", ["a", "b"], None),
    "a list for a URL": ("gdown_url", [], None),
    "an object for a URL": ("lipsync_input", {"url": "https://x/y"}, None),
    "a date in words": ("created_at", "Nov 25, 2026, 10:00 a.m.", None),
    "no date of MySQL": ("updated_at", "0000-00-00 00:00:00", None),
    "false for a date": ("updated_at", False, None),
    "seconds for a date": ("created_at", 1764064800, None),
    "seconds as text for a date": ("created_at", "1764064800", None),
    "a date with its zone's name": ("created_at", "2026-11-25T10:00:00+00:00[UTC]", None),
    "a date before the calendar": ("created_at", "0001-01-01T00:00:00+14:00", None),
    "a date after the calendar": ("created_at", "9999-12-31T23:59:59-12:00", None),
    "an object for a status": ("process_status", {"state": "failed"}, '{"state": "failed"}'),
    "a number for a status": ("process_status", 3, "3"),
    "false for a status": ("process_status", False, "false"),
}
NOT_NUMBERS = [float("nan"), float("inf"), [[float("-inf")]]]


@pytest.mark.parametrize("case", ODD)
def test_value_of_another_type_is_kept_as_it_came(case: str) -> None:
    """A value that does not have its documented type is kept, named and dumped as it came."""
    field, value, shown = ODD[case]
    answer = {"id": "1", "process_status": "failed", field: value}
    persona = Persona.model_validate(answer)
    assert persona.odd_fields == {field: value}
    assert getattr(persona, field) == shown
    assert persona.answer() == answer
    assert persona.is_terminal is (field != "process_status")
    again = Persona.model_validate_json(persona.model_dump_json())
    assert again.odd_fields == persona.odd_fields
    assert getattr(again, field) == shown


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=str)
@pytest.mark.parametrize("field", ["process_status", "failed_reason", "keywords", "style", "x"])
def test_nan_is_text_in_what_is_stored(field: str, value: Any) -> None:
    """A number that JSON does not have makes neither an answer nor its copy in the log invalid."""
    persona = Persona.model_validate({"id": "1", field: value})
    stored = json.dumps(persona.answer(), allow_nan=False)
    again = Persona.model_validate_json(stored)
    assert again.answer() == persona.answer()
    assert again.status_text == persona.status_text


@pytest.mark.parametrize(
    "moment",
    [
        "2026-11-25T10:00:00.123456Z",
        "2026-11-25T02:00:00.123456-08:00",
        "2026-11-25T02:00:00.123456-0800",
        "2026-11-25 10:00:00.123456",
        "2026-11-25T10:00:00.1234567Z",
    ],
)
def test_timestamp_as_servers_write_it(moment: str) -> None:
    """The forms of ISO 8601 that Django, pydantic and .NET write are read."""
    persona = Persona.model_validate({"id": "1", "created_at": moment})
    assert persona.created_at == datetime(2026, 11, 25, 10, 0, 0, 123456, tzinfo=UTC)
    assert persona.odd_fields == {}


@pytest.mark.parametrize(("value", "expected"), [("a", "a"), (1, "1"), (10**30, "1" + "0" * 30)])
def test_id_is_text_or_a_whole_number(value: object, expected: str) -> None:
    """A whole number is kept as text."""
    assert Persona.model_validate({"id": value}).id == expected


def test_status_is_stripped_and_compared_as_it_came() -> None:
    """White space around a status says nothing, another case is another status."""
    assert Persona(id="1", process_status=" failed\n").status is ProcessStatus.FAILED
    assert Persona(id="1", process_status="Failed").status is None
    assert Persona(id="1", process_status=" \n").status_text == UNKNOWN


@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31)),  # noqa: DTZ001 - hypothesis adds the offset
    st.timedeltas(min_value=timedelta(hours=-14), max_value=timedelta(hours=14)),
)
def test_moment_survives_the_round_trip(naive: datetime, offset: timedelta) -> None:
    """A persona that is dumped as JSON and read again has the same moments, whatever the offset."""
    minutes = timedelta(minutes=offset // timedelta(minutes=1))
    moment = naive.replace(tzinfo=timezone(minutes))
    read = Persona.model_validate({"id": "1", "created_at": moment.isoformat()})
    again = Persona.model_validate_json(read.model_dump_json())
    assert again.created_at == read.created_at == moment


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(sorted(Persona.model_fields)) | st.text()


@given(st.dictionaries(names, json_values, max_size=8))
def test_any_object_is_a_persona_if_it_has_an_id(answer: dict[str, Any]) -> None:
    """Whatever else an answer holds, it is read if its id is text or a whole number."""
    given_id = answer.get("id")
    try:
        persona = Persona.model_validate(answer)
    except ValidationError as error:
        assert error_sentence(error)
        assert not (isinstance(given_id, str) and given_id.strip())
        assert type(given_id) is not int
        return
    assert persona.id == str(given_id)
    assert persona.status_text
    assert set(answer) <= set(persona.model_dump())


# Quota


@pytest.mark.parametrize(("current", "room"), [(0, 3), (2, 1), (3, 0), (5, 0)])
def test_room_is_never_negative(current: int, room: int) -> None:
    """What is left of the quota is at least nothing, also after a plan was reduced."""
    assert Quota(max_count=3, current_count=current).room == room


def test_quota_without_its_numbers_is_refused() -> None:
    """A quota that does not say both numbers is none."""
    with pytest.raises(ValidationError) as caught:
        Quota.model_validate({"max_count": 3})
    assert error_sentence(caught.value) == "current_count: Field required."
