"""The tree of errors is as its docstring draws it, and each error keeps its attributes."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from avatarkit import errors
from avatarkit.models import Persona

CLASSES = dict(inspect.getmembers(errors, inspect.isclass))
DRAWN = re.compile(r"^ {4}([│├└ ]*)(\w+)(?: \(([\w, ]+)\))?", re.MULTILINE)
CALL = {"method": "GET", "url": "https://api.example/api/personas/1/"}
STATUS = {**CALL, "status_code": 400, "body": "{}", "messages": ("no",), "from_api": True}
PERSONA = Persona(id="p1", process_status="failed", failed_reason="two faces")

MADE = [
    (errors.ConfigError, {}),
    (errors.VideoUnreadable, {"path": Path("gone.mp4")}),
    (errors.APIError, CALL),
    (errors.ConnectionFailed, {**CALL, "maybe_sent": False}),
    (errors.RequestTimeout, {**CALL, "maybe_sent": True}),
    (errors.StatusError, STATUS),
    (errors.AuthError, {**STATUS, "status_code": 401}),
    (errors.PlanFull, {**STATUS, "status_code": 403}),
    (errors.NotFound, {**STATUS, "status_code": 404}),
    (errors.TooLarge, {**STATUS, "status_code": 413}),
    (errors.InvalidRequest, {**STATUS, "fields": {"gender": ["no"]}}),
    (errors.RateLimited, {**STATUS, "status_code": 429, "retry_after_s": 2.5}),
    (errors.ServerError, {**STATUS, "status_code": 503}),
    (errors.UnexpectedAnswer, {**CALL, "body": "<html>", "from_api": False}),
    (errors.SubmissionUncertain, {"submission_id": "s1"}),
    (errors.PersonaEnded, {"persona": PERSONA}),
    (errors.PersonaFailed, {"persona": PERSONA}),
    (errors.PersonaRejected, {"persona": PERSONA}),
    (errors.WaitTimeout, {"persona_id": "p1", "waited_s": 60.0, "last_error": "No."}),
    (errors.StoreError, {}),
]


def drawn() -> dict[str, tuple[str | None, tuple[str, ...]]]:
    """Name -> (parent, attributes), as the module's docstring draws it."""
    tree: dict[str, tuple[str | None, tuple[str, ...]]] = {}
    above: list[str] = []
    for bars, name, attributes in DRAWN.findall(errors.__doc__ or ""):
        depth = len(bars) // 2
        above[depth:] = [name]
        parent = above[depth - 1] if depth else None
        tree[name] = (parent, tuple(attributes.split(", ")) if attributes else ())
    return tree


def test_docstring_draws_every_error_and_its_parent() -> None:
    """The drawing in the module's docstring names every class below the class it stems from."""
    parents = {name: parent for name, (parent, _) in drawn().items()}
    real = {
        name: None if cls is errors.AvatarkitError else cls.__bases__[0].__name__
        for name, cls in CLASSES.items()
    }
    assert parents == real


@pytest.mark.parametrize(("cls", "values"), MADE, ids=lambda value: getattr(value, "__name__", ""))
def test_keeps_what_it_was_given(cls: type[Exception], values: dict[str, object]) -> None:
    """Every attribute that an error is made with can be read from it, and its text is the text."""
    error = cls("One sentence.", **values)
    assert {name: getattr(error, name) for name in values} == values
    assert str(error) == "One sentence."
    assert isinstance(error, errors.AvatarkitError)


@pytest.mark.parametrize(("cls", "values"), MADE, ids=lambda value: getattr(value, "__name__", ""))
def test_docstring_names_its_attributes(cls: type[Exception], values: dict[str, object]) -> None:
    """The drawing names the attributes that a class adds to its parent's."""
    parent, attributes = drawn()[cls.__name__]
    inherited: set[str] = set()
    while parent is not None:
        above, names = drawn()[parent]
        inherited |= set(names)
        parent = above
    assert set(values) == inherited | set(attributes)


def test_every_error_is_tried() -> None:
    """The tests above leave out none but the root."""
    assert {cls for cls, _ in MADE} == set(CLASSES.values()) - {errors.AvatarkitError}


def test_what_an_answer_did_not_say_is_empty() -> None:
    """Body, messages, fields and retry_after_s are empty where the API said nothing."""
    assert not errors.NotFound("No.", **CALL, status_code=404).from_api
    invalid = errors.InvalidRequest("No.", **CALL, status_code=422)
    assert (invalid.body, invalid.messages, invalid.fields) == ("", (), {})
    assert errors.RateLimited("No.", **CALL, status_code=429).retry_after_s is None
    assert errors.UnexpectedAnswer("No.", **CALL).body == ""


def test_a_timeout_is_a_failed_connection() -> None:
    """Catching failed connections catches timeouts too, but no answers of the API."""
    assert issubclass(errors.RequestTimeout, errors.ConnectionFailed)
    assert not issubclass(errors.ConnectionFailed, errors.StatusError)
