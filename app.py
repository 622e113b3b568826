"""Run the Streamlit app: ``streamlit run app.py`` serves pages, tracker, and a sandbox if needed.

``st.App(...)`` must be in this file literally: ``streamlit run`` finds it by reading the source.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnected

from avatarkit.ui import login, running, webhooks
from avatarkit.ui.browser import BrowserCookie
from avatarkit.ui.public_host import HostGuard, own_url, unsafe_address


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Open one session with its tracker thread and first estimates; close it at the end."""
    # Else the first page would wait for what it imports.
    await anyio.to_thread.run_sync(importlib.import_module, "avatarkit.ui.views.avatars")
    await anyio.to_thread.run_sync(running.start)
    sys.stdout.write(f"The app is at {own_url()}\n")
    sys.stdout.flush()
    try:
        yield
    finally:
        await anyio.to_thread.run_sync(running.close)


def end_quietly(_: Request, __: Exception) -> Response:
    """Answer a browser that vanished while it sent something; Streamlit would log a traceback."""
    return Response(status_code=400)


def end_socket_quietly(_: WebSocket, __: Exception) -> None:
    """End the socket of a browser that vanished while it was sent something."""


app = st.App(
    "avatarkit/ui/main.py",
    lifespan=lifespan,
    routes=webhooks.routes(),
    middleware=[
        Middleware(HostGuard, settings=running.settings, has_login=login.is_set_up),
        Middleware(BrowserCookie),
    ],
    on_script_error=running.show_error,
    exception_handlers={ClientDisconnect: end_quietly, WebSocketDisconnected: end_socket_quietly},
)

# Before a socket is opened, and after Streamlit has learnt where its configuration lies.
if refusal := unsafe_address(login.is_set_up):
    sys.exit(refusal)
