"""The house rules that no linter knows: public names, sizes, light imports, honest pins."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from pytest_socket import SocketConnectBlockedError

import avatarkit
from support.lines_of_code import PACKAGE, SOURCES, folder_of, lines_by_folder
from support.project import ROOT

TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Lines of code without docstrings, comments and blank lines.
MOST_LINES = {
    ("ground", "api"): 2_250,
    ("store", "tracking"): 8_450,
    ("history", "estimates"): 2_150,
    ("reports",): 1_700,
    ("preflight",): 1_250,
    ("sandbox",): 2_700,
    ("ui",): 5_300,
    ("cli",): 1_000,
}

MEANINGLESS = {"utils", "util", "helpers", "base", "common", "misc", "manager", "service"}
HEAVY = (
    "altair",
    "av",
    "numpy",
    "pandas",
    "scipy",
    "skimage",
    "sqlalchemy",
    "starlette",
    "streamlit",
    "uvicorn",
)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def in_clean_python(code: str) -> str:
    """What a new interpreter prints, in which every warning is an error."""
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


# Public names


def test_all_names_what_can_be_imported() -> None:
    """``__all__`` is sorted, and what ``dir()`` shows."""
    assert sorted(avatarkit.__all__) == avatarkit.__all__ == dir(avatarkit)


@pytest.mark.parametrize("name", avatarkit.__all__)
def test_public_name_is_importable(name: str) -> None:
    """Every public name can be imported, and a class knows its name."""
    value = getattr(avatarkit, name)
    if isinstance(value, type):
        assert value.__name__ == name
    assert value is not None


def test_public_names_are_typed() -> None:
    """What type checkers see is what there is: every lazy name is imported for them."""
    seen = {
        f"{node.module}:{alias.name}"
        for node in ast.walk(tree_of(PACKAGE / "__init__.py"))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("avatarkit")
        for alias in node.names
    }
    table = {
        where if ":" in where else ":".join(where.rsplit(".", 1))
        for where in avatarkit._PUBLIC.values()
    }
    assert seen == table
    assert (PACKAGE / "py.typed").exists()


def test_unknown_name_is_an_attribute_error() -> None:
    """A name that is not there is an AttributeError, as with any module."""
    with pytest.raises(AttributeError, match="no attribute 'Clinet'"):
        avatarkit.Clinet  # noqa: B018 - reading it is the test


# Imports


@pytest.mark.parametrize(
    "statement",
    [
        "import avatarkit",
        "from avatarkit import Client, PersonaCreate, Settings, ProcessStatus, errors",
    ],
)
def test_import_is_light(statement: str) -> None:
    """Importing avatarkit, its client and its models loads no heavy library."""
    code = f"{statement}; import json, sys; print(json.dumps(sorted(sys.modules)))"
    loaded = {module.split(".")[0] for module in json.loads(in_clean_python(code))}
    assert not loaded & set(HEAVY)


def test_core_needs_no_streamlit() -> None:
    """Everything but the pages and the sandbox can be imported where Streamlit is not installed."""
    missing = "{name: None for name in ('streamlit', 'starlette', 'uvicorn', 'av', 'skimage')}"
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in SOURCES
        if folder_of(path) not in ("ui", "sandbox", "preflight") and path.stem != "__main__"
    ]
    lines = [f"import {module}" for module in modules]
    in_clean_python("\n".join(["import sys", f"sys.modules.update({missing})", *lines]))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_name_says_nothing(path: Path) -> None:
    """No module is called by a name under which anything could lie."""
    assert not MEANINGLESS & set(path.relative_to(ROOT).with_suffix("").parts)


# Sizes and words


def test_every_folder_stays_small() -> None:
    """No folder has more lines of code than the design gives it; the summary prints them."""
    lines = lines_by_folder()
    sizes = {" + ".join(folders): sum(lines[f] for f in folders) for folders in MOST_LINES}
    limits = {" + ".join(folders): limit for folders, limit in MOST_LINES.items()}
    assert {name: size for name, size in sizes.items() if size > limits[name]} == {}
    assert {folder for folders in MOST_LINES for folder in folders} == set(lines)


@pytest.mark.parametrize(
    ("module", "model"),
    [
        ("models", "PersonaCreate"),
        ("models", "Persona"),
        ("models", "Quota"),
        ("settings", "Settings"),
    ],
)
def test_every_field_has_a_docstring(module: str, model: str) -> None:
    """Each field of a public model is followed by a docstring that is a sentence."""
    tree = tree_of(PACKAGE / f"{module}.py")
    (body,) = (n.body for n in tree.body if isinstance(n, ast.ClassDef) and n.name == model)
    bare = []
    for node, following in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            value = getattr(following, "value", None)
            text = value.value if isinstance(value, ast.Constant) else None
            is_private = node.target.id.startswith("_")
            if not is_private and not (isinstance(text, str) and text.endswith(".")):
                bare.append(node.target.id)
    assert bare == []


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_every_test_states_a_behaviour(path: Path) -> None:
    """Every test has a docstring that is a sentence."""
    mute = [
        node.name
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not (ast.get_docstring(node) or "").endswith(".")
    ]
    assert mute == []


# Pins


def pins(name: str) -> dict[str, Version]:
    """Project -> version of a file of pins, as far as its markers fit this machine."""
    found = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].strip()
        if not text:
            continue
        requirement = Requirement(text)
        (pin,) = requirement.specifier
        assert pin.operator == "==", line
        if requirement.marker is None or requirement.marker.evaluate():
            found[canonicalize_name(requirement.name)] = Version(pin.version)
    return found


def required(*extras: str) -> list[Requirement]:
    """What the package needs by itself and for these extras, and for those that they name."""
    found = [Requirement(line) for line in PROJECT["dependencies"]]
    for extra in extras:
        for line in PROJECT["optional-dependencies"][extra]:
            requirement = Requirement(line)
            if requirement.marker is not None and not requirement.marker.evaluate():
                continue
            if requirement.name == PROJECT["name"]:
                found += required(*requirement.extras)
            else:
                found.append(requirement)
    return found


@pytest.mark.parametrize(
    ("name", "extra"), [("requirements.txt", "app"), ("requirements-dev.txt", "dev")]
)
def test_pins_fit_the_ranges(name: str, extra: str) -> None:
    """Every direct dependency is pinned, to a version that pyproject.toml allows."""
    pinned = pins(name)
    for requirement in required(extra):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement


def test_app_and_developers_have_the_same_pins() -> None:
    """What the app is run with is what it was tested with."""
    app, dev = pins("requirements.txt"), pins("requirements-dev.txt")
    assert app == {name: dev.get(name) for name in app}


def test_this_python_is_one_that_is_promised() -> None:
    """The tests run on a Python that pyproject.toml allows."""
    assert Version(default_environment()["python_full_version"]).release >= (3, 11)
    assert PROJECT["requires-python"] == ">=3.11"


# The app's configuration


def options(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= options(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def test_streamlit_knows_every_option() -> None:
    """config.toml holds no option that this Streamlit would warn of."""
    from streamlit import config

    text = (ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8")
    for name in options(tomllib.loads(text)):
        config.get_option(name)
    with pytest.raises(RuntimeError):
        config.get_option("server.noSuchOption")


def test_the_app_is_private_and_calm() -> None:
    """The app is bound to this machine, sends no telemetry, and shows no traceback on a page."""
    chosen = options(tomllib.loads((ROOT / ".streamlit/config.toml").read_text(encoding="utf-8")))
    assert chosen["server.address"] == "127.0.0.1"
    assert chosen["browser.gatherUsageStats"] is False
    assert chosen["client.showErrorDetails"] == "none"
    assert chosen["server.maxUploadSize"] == 2048


def test_every_setting_is_in_the_example() -> None:
    """.env.example names every setting there is, and no other."""
    settings = import_module("avatarkit.settings").Settings
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^#? ?AVATARKIT_(\w+)=", text, re.MULTILINE))
    assert named == {name.upper() for name in settings.model_fields} | {"CHROMIUM"}


# What the tests themselves stand on


def test_network_is_out_of_reach() -> None:
    """A test that connects to anything but this machine fails."""
    with (
        socket.socket() as outside,
        pytest.warns(UserWarning, match="192.0.2.1"),
        pytest.raises(SocketConnectBlockedError),
    ):
        outside.connect(("192.0.2.1", 80))


def test_this_machine_is_within_reach() -> None:
    """An event loop, its pipes, a process and a server on loopback work within tests."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def ask() -> tuple[bytes, bytes]:
        server = await asyncio.start_server(answer, "localhost", 0, family=socket.AF_INET)
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("localhost", port)
            writer.write(b"hello\n")
            heard = await reader.read()
            writer.close()
            await writer.wait_closed()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print('hello')", stdout=subprocess.PIPE
        )
        printed, _ = await process.communicate()
        return heard.strip(), printed.strip()

    assert asyncio.run(ask()) == (b"hello", b"hello")
