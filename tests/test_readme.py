"""What the README shows works as it is printed."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

import avatarkit
from avatarkit import open_session
from avatarkit.cli.commands import app
from support.project import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DRAWN = "avatarkit.sandbox.personas.lifecycle.SHARES"


def blocks(language: str) -> list[str]:
    """Return the README's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_python_examples_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every example in Python runs as printed, also if the sandbox draws bad ends."""
    monkeypatch.setenv("AVATARKIT_SANDBOX_SPEED", "400000")
    monkeypatch.setattr(DRAWN, {"failed": 1.0})
    for example in blocks("python"):
        exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - our own
    assert "done" in capsys.readouterr().out.lower()


def test_methods_exist() -> None:
    """Every method in the README's table is one of the object in its row."""
    table = README.partition("### Methods")[2].partition("###")[0]
    owners: list[object] = []
    checked = 0
    for line in table.splitlines():
        cells = [re.findall(r"`\.?(\w+)[^`]*`", cell) for cell in line.split("|")]
        if len(cells) < 4 or not cells[2]:
            continue
        if cells[1]:
            named = [getattr(avatarkit, name, avatarkit) for name in cells[1]]
            owners = [avatarkit.Session if each is open_session else each for each in named]
        for number, name in enumerate(cells[2]):
            owner = owners[number % len(owners)]
            known = hasattr(owner, name) or f"self.{name}" in inspect.getsource(owner)
            assert known, f"{owner} has no {name}"
            checked += 1
    assert checked > 50


def test_commands_exist() -> None:
    """Every command of avatarkit that the README shows exists, with the options that it shows."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    shown = [line.partition("#")[0].split()[3:] for line in lines if " -m avatarkit " in line]
    assert len(shown) > 10
    for name, *words in shown:
        answer = CliRunner().invoke(app, [name, "--help"])
        assert answer.exit_code == 0, name
        for word in words:
            assert not word.startswith("--") or word in answer.output, f"{name} {word}"


def test_dependencies_are_explained() -> None:
    """The README says of every package that an installation brings what it is for."""
    table = README.partition("## Dependencies")[2].partition("##")[0]
    named = {canonicalize_name(name) for name in re.findall(r"[\w-]+", table)}
    extras = {n: e for n, e in PROJECT["optional-dependencies"].items() if n != "dev"}
    lines = [*PROJECT["dependencies"], *(line for extra in extras.values() for line in extra)]
    needed = {canonicalize_name(Requirement(line).name) for line in lines} - {PROJECT["name"]}
    assert needed - named == set()
    assert {name for name in extras if f"`{name}`" not in README} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every picture and page of the project that is linked exists."""
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []
