"""Bare HTTP calls with the keys of a sandbox, and waiting for its threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from avatarkit.sandbox import Attached, Sandbox

FILES, URLS = "/api/personas_v2/", "/api/personas/"
COUNT, PAGES = "/api/personas_v2/count/", "/api/personas/paginated/"
ADA = {"gender": "f", "creator_name": "Ada"}


def client_of(sandbox: Sandbox | Attached, **options: Any) -> httpx.Client:
    """Return a bare client with the keys of ``sandbox``."""
    keys = {"X-API-ID": sandbox.api_id, "X-API-KEY": sandbox.api_key}
    return httpx.Client(base_url=sandbox.url, headers=keys, trust_env=False, **options)


def call(sandbox: Sandbox | Attached, method: str, path: str, **more: Any) -> httpx.Response:
    """Return the answer to one call with the keys."""
    with client_of(sandbox) as client:
        return client.request(method, path, **more)


def create(sandbox: Sandbox | Attached, **fields: Any) -> dict[str, Any]:
    """Return what the API answers to a create with these fields."""
    return dict(call(sandbox, "POST", FILES, json={**ADA, **fields}).json())


def until(condition: Callable[[], Any], seconds: float = 20) -> None:
    """Wait for another thread until ``condition`` holds; fail when it never does."""
    pause = threading.Event()
    for _ in range(round(seconds / 0.005)):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("it never came about")


def stop(sandbox: Sandbox) -> None:
    """Stop ``sandbox``; fail when that hangs until the web server gives up on open connections."""
    thread = threading.Thread(target=sandbox.stop, daemon=True)
    thread.start()
    thread.join(25)
    assert not thread.is_alive(), "stop() hangs"
