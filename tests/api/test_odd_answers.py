"""Only id and status decide: no other value hides a persona, its status or the others in a list."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given

from avatarkit import Client, Persona, PersonaCreate, errors
from support.odd_answers import check_kept, odd_answers

BASE = {"id": "p1", "process_status": "failed", "creator_name": "Ada", "gender": "f"}
OTHER = {"id": "other", "process_status": "done"}
REQUEST = PersonaCreate(creator_name="Ada", gender="f")

ODD_FIELDS: list[dict[str, Any]] = [
    {"failed_reason": {"code": 40123, "message": "face not found"}},
    {"failed_reason": ["face not found"]},
    {"labels": [{"id": 3, "name": "team-a"}]},
    {"labels": "team-a,b"},
    {"labels": ["a", None]},
    {"created_at": "Nov 25, 2026, 10:00 a.m."},
    {"updated_at": "0000-00-00 00:00:00"},
    {"updated_at": False},
    {"created_at": 1764064800000},
    {"created_at": "2026-11-25T10:00:00+00:00[UTC]"},
    {"created_at": "2026-11-25 10:00:00 UTC"},
    {"creator_name": 42},
    {"gender": {"value": "f", "label": "Female"}},
    {"is_active": "pending"},
    {"keywords": ["a", "b"]},
    {"video_scene": ["office"]},
    {"gdown_url": []},
    {"lipsync_input": {"url": "https://x/y"}},
    {"keywords": float("nan")},
]


def client_of(content: bytes, code: int = 200) -> Client:
    """Return a client whose every call is answered with ``content``."""
    answers = httpx.MockTransport(lambda _: httpx.Response(code, content=content))
    return Client("https://api.example", "the-id", "the-key-of-it", transport=answers, tries=1)


def get(content: bytes) -> Persona:
    with client_of(content) as client:
        return client.get_persona(BASE["id"])


@pytest.mark.parametrize("fields", ODD_FIELDS, ids=str)
def test_no_other_field_hides_a_status(fields: dict[str, Any]) -> None:
    """A field of another type is named, in get and create, and the status is read."""
    body = json.dumps(BASE | fields).encode()
    with client_of(body, 201) as client:
        for persona in (get(body), client.create_persona(REQUEST)):
            assert persona.is_terminal
            assert list(persona.odd_fields) == list(fields)


@pytest.mark.parametrize("fields", ODD_FIELDS, ids=str)
def test_no_field_of_one_hides_the_others_of_a_list(fields: dict[str, Any]) -> None:
    """A persona with a field of another type is listed, and so are the others."""
    with client_of(json.dumps([BASE | fields, OTHER]).encode()) as client:
        assert [persona.id for persona in client.list_personas()] == ["p1", "other"]


@pytest.mark.parametrize("entry", [{"no": "id"}, {"id": None}, {"id": True}, 1, "a", None, [OTHER]])
def test_an_entry_that_is_no_persona_is_skipped(
    entry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are listed, and the caller and the log learn of it."""
    skipped: list[object] = []
    caplog.set_level(logging.WARNING, "avatarkit")
    with client_of(json.dumps([BASE, entry, OTHER]).encode()) as client:
        listed = list(client.list_personas(on_skipped=skipped.append))
    assert [persona.id for persona in listed] == ["p1", "other"]
    assert skipped == [entry]
    assert "was skipped" in caplog.text


def test_a_page_of_nothing_but_odd_entries_hides_no_later_page() -> None:
    """After a page with personas, one without leads to the next one."""
    pages = [
        {"results": [BASE], "next": "/api/personas/paginated/?page=2"},
        {"results": [None], "next": "/api/personas/paginated/?page=3"},
        {"results": [OTHER], "next": None},
    ]
    answers = httpx.MockTransport(lambda _: httpx.Response(200, json=pages.pop(0)))
    with Client("https://api.example", "i", "the-key-of-it", transport=answers) as client:
        assert [persona.id for persona in client.list_personas()] == ["p1", "other"]


ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "UTF-8 with a mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16, the other order": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_byte_order_mark_tells_the_encoding(encoding: str) -> None:
    """An answer with a byte order mark is read by get, create and list."""
    encode = ENCODINGS[encoding]
    answer = BASE | {"creator_name": "李"}
    one = encode(json.dumps(answer, ensure_ascii=False))
    with client_of(one, 201) as client:
        assert get(one).creator_name == client.create_persona(REQUEST).creator_name == "李"
    with client_of(encode(json.dumps([answer, OTHER], ensure_ascii=False))) as client:
        assert [persona.creator_name for persona in client.list_personas()] == ["李", None]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'"Ad\xe9"', "Ad\ufffd"),
        (b'"Ad\\ud800"', "Ad\ufffd"),
        (b'"A\nda"', "A\nda"),
    ],
)
def test_text_that_is_not_right_is_read_nevertheless(value: bytes, expected: str) -> None:
    """Bytes of another encoding, half a surrogate or a raw line break hide no status."""
    body = b'{"id": "p1", "process_status": "done", "creator_name": ' + value + b"}"
    assert (get(body).creator_name, get(body).status_text) == (expected, "done")


@pytest.mark.parametrize("value", [b"NaN", b"-Infinity", b"1e400", b"9" * 5_000])
def test_a_number_that_is_none_stays_out_of_stored_json(value: bytes) -> None:
    """What parsers other than Python's refuse as a number is text in what is stored."""
    body = b'{"id": "p1", "process_status": "done", "style": [' + value + b"]}"
    persona = get(body)
    assert persona.is_terminal
    stored = persona.answer()["style"]
    assert stored in (["NaN"], ["-Infinity"], ["Infinity"], ["9" * 5_000])
    assert json.loads(json.dumps(stored, allow_nan=False)) == stored


@pytest.mark.parametrize("field", ["style", "keywords", "x"])
@pytest.mark.parametrize("depth", [40, 60, 150, 300])
def test_no_depth_of_a_field_hides_a_status(depth: int, field: str) -> None:
    """What lies deep is read, and can be stored and read again."""
    deep = "[" * depth + "]" * depth
    body = f'{{"id": "p1", "process_status": "done", "{field}": {deep}}}'
    with client_of(body.encode(), 201) as client:
        for persona in (get(body.encode()), client.create_persona(REQUEST)):
            assert persona.is_terminal
            assert Persona.model_validate_json(persona.model_dump_json()) == persona


@pytest.mark.parametrize("body", ["[]", "[{}]", "null", '"p1"', "7", '{"id": ""}', "<html>"])
def test_what_has_no_id_is_one_error(body: str) -> None:
    """An answer that is not one object with an id is an UnexpectedAnswer."""
    with pytest.raises(errors.UnexpectedAnswer):
        get(body.encode())


def test_an_id_that_is_a_number_is_its_text() -> None:
    """A persona whose id is a whole number is got by that number's text."""
    with client_of(b'{"id": 17, "process_status": "done"}') as client:
        assert client.get_persona("17").id == "17"
        with pytest.raises(errors.UnexpectedAnswer, match="another persona"):
            client.get_persona("18")


@given(odd_answers())
def test_any_object_with_an_id_is_read(answer: dict[str, Any]) -> None:
    """Get, create and list see id and status, keep the rest as it came, and name what is odd."""
    body = json.dumps(answer).encode()
    with client_of(body, 201) as client:
        check_kept(client.get_persona(str(answer["id"])), answer)
        check_kept(client.create_persona(REQUEST), answer)
    with client_of(json.dumps([OTHER, None, answer]).encode()) as client:
        listed = list(client.list_personas())
    assert [persona.id for persona in listed] == list(dict.fromkeys(["other", str(answer["id"])]))
    if listed[-1].id != "other":
        check_kept(listed[-1], answer)
