"""Sandboxes on the manual clock, bare clients of theirs, and a short video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from avatarkit.sandbox import Sandbox
from avatarkit.sandbox.footage import talking_head
from support.sandbox_client import client_of

if TYPE_CHECKING:
    from support.manual_clock import ManualClock


@pytest.fixture
def serve(manual_clock: ManualClock) -> Iterator[Callable[..., httpx.Client]]:
    """Make a sandbox on the manual clock, and return a bare client of that sandbox."""
    with ExitStack() as stack:

        def start(**options: Any) -> httpx.Client:
            sandbox = stack.enter_context(Sandbox(clock=manual_clock, **options))
            return stack.enter_context(client_of(sandbox))

        yield start


@pytest.fixture
def served(manual_clock: ManualClock) -> Iterator[Sandbox]:
    """Yield a sandbox on the manual clock."""
    with Sandbox(clock=manual_clock) as sandbox:
        yield sandbox


@pytest.fixture
def api(served: Sandbox) -> Iterator[httpx.Client]:
    """Yield a bare client of ``served``."""
    with client_of(served) as client:
        yield client


@pytest.fixture(scope="module")
def shared() -> Iterator[httpx.Client]:
    """Yield a bare client of a sandbox for tests that create nothing."""
    with Sandbox(max_personas=10_000) as sandbox, client_of(sandbox) as client:
        yield client


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a second of a talking head, small."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return talking_head(path, seconds=1, width=128, height=192, fps=10)
