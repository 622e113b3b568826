"""Keys and paths are read as people paste them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit import PersonaCreate
from avatarkit.paths import pasted_path, unquote

posix = pytest.mark.skipif(os.name != "posix", reason="a backslash parts folders on Windows")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A file with a space in its name."""
    path = tmp_path / "my film.mp4"
    path.write_bytes(b"x")
    return path


@pytest.mark.parametrize(
    "pattern",
    [
        "{}",
        '"{}"',
        "'{}'",
        "\u201c{}\u201d",
        "\u202a{}",
        ' "\u202a{}\u202c" \n',
        "\ufeff{}",
        "file://{}",
        "FILE://localhost{}",
        "file:{}",
        '"file://{}"',
    ],
)
def test_a_pasted_path_is_the_file_that_it_names(film: Path, pattern: str) -> None:
    """Quotes, invisible marks and the scheme of a file's URL are no part of its path."""
    pasted = pattern.format(film)
    assert pasted_path(pasted) == film
    assert PersonaCreate(creator_name="A", gender="m", lipsync_input=pasted).files == {
        "lipsync_input": film
    }


@posix
@pytest.mark.parametrize("name", ["my film.mp4", "100% #1?.mp4", "李.mp4"])
def test_the_url_of_a_file_is_decoded(tmp_path: Path, name: str) -> None:
    """%20 in the URL of a file is the space in its name."""
    path = tmp_path / name
    assert pasted_path(path.as_uri()) == path
    assert pasted_path(f"file://{path}".replace(" ", "%20").replace("100%", "100%25")) == path


@posix
def test_backslashes_of_a_shell_are_removed(film: Path) -> None:
    """A path dropped on a terminal comes with its spaces escaped."""
    assert pasted_path(str(film).replace(" ", "\\ ")) == film


@posix
@pytest.mark.parametrize("name", ['"a.mp4"', "\u202aa.mp4", "a\\ b.mp4", " a.mp4", "%20.mp4"])
def test_an_odd_name_that_exists_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    """A file may be called like something that was pasted, and is then meant itself."""
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / "a.mp4").write_bytes(b"another")
    (tmp_path / "a b.mp4").write_bytes(b"another")
    assert pasted_path(name) == Path(name)


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch, film: Path) -> None:
    """``~`` is the home folder; that of an unknown user stays as it is."""
    monkeypatch.setenv("HOME", str(film.parent))
    monkeypatch.setenv("USERPROFILE", str(film.parent))
    assert pasted_path('"~/my film.mp4"') == film
    assert pasted_path("~no-user-of-that-name/x") == Path("~no-user-of-that-name/x")


@pytest.mark.parametrize(
    ("pasted", "sentence"),
    [
        ("file://server/share/a.mp4", "names another machine"),
        ('"s3://bucket/a.mp4"', "must be the path of a file or an http"),
        ("'no such film.mp4'", "no such film.mp4 does not exist; check the path"),
        ("x" * 5000, "cannot be opened"),
    ],
)
def test_what_is_no_file_is_one_sentence(pasted: str, sentence: str) -> None:
    """A URL of another kind, a file that is not there, a name that is too long."""
    with pytest.raises(ValueError, match=sentence):
        PersonaCreate(creator_name="A", gender="m", lipsync_input=pasted)


def test_a_quoted_url_is_a_url() -> None:
    """Quotes around a video's URL are taken off, too; blank quotes are no video."""
    request = PersonaCreate(
        creator_name="A",
        gender="m",
        lipsync_input='"https://example.com/a.mp4"',
        consent_video='""',
    )
    assert request.urls == {"lipsync_input": "https://example.com/a.mp4"}


@given(st.text())
def test_any_text_is_a_path_or_a_value_error(text: str) -> None:
    """Whatever is pasted gives a path or a sentence, and nothing is taken off twice."""
    assert unquote(f'"{unquote(text)}"') == unquote(text)
    try:
        path = pasted_path(text)
    except ValueError as error:
        assert "another machine" in str(error)
    else:
        assert isinstance(path, Path)
