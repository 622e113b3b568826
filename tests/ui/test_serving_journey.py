"""What the app as the README starts it asks of others, and prints when a browser vanishes."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, Request, expect

from avatarkit import PersonaCreate, open_session
from support.app_process import free_port, served_app

pytestmark = pytest.mark.journey

PATIENCE_MS = 120_000
PAGES = ("", "submit", "stage-times", "settings")
NAME = "[Ada](https://evil.example) ![x](https://evil.example/x.png) :material/face: $x$"
ADDRESSES = "https://evil.example/a www.evil.example ada@evil.example <img src=//evil.example/x>"


def opened(browser: Browser) -> Page:
    """Open a tab that a test waits for."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    return page


def drawn(page: Page) -> None:
    """Wait until the script of the page has run to its end, and nothing is loading."""
    expect(page.get_by_role("heading", level=1).first).to_be_visible(timeout=PATIENCE_MS)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0, timeout=PATIENCE_MS)
    page.wait_for_load_state("networkidle")


@pytest.mark.long
def test_pages_ask_no_other_host(browser: Browser, tmp_path: Path) -> None:
    """Icon, fonts and charts come from the app; a name is neither a link nor a picture.

    A page begins right below the navigation, and nothing offers to stop it.
    """
    with (
        served_app(tmp_path, free_port(), AVATARKIT_SANDBOX_SPEED="20000") as url,
        open_session() as session,
    ):
        for name in (NAME, ADDRESSES):
            request = PersonaCreate(creator_name=name, gender="f", labels=["sandbox:done"])
            persona = session.tracker.submit(request)
        page = opened(browser)
        page.add_init_script(
            "setInterval(() => { window.widgets = (window.widgets || 0) + "
            "document.querySelectorAll('[data-testid=stStatusWidget]').length }, 50)"
        )
        asked: list[str] = []

        def note(request: Request) -> None:
            asked.append(request.url)

        page.on("request", note)
        page.on("websocket", lambda websocket: asked.append(websocket.url))
        for path in PAGES:
            page.goto(f"{url}/{path}")
            drawn(page)
            box = page.get_by_role("heading", level=1).first.bounding_box()
            assert box is not None
            assert box["y"] < 100, path
            for tab in page.get_by_role("tab").all():
                tab.click()
                drawn(page)
            assert page.locator("a[href*=evil], img[src*=evil]").count() == 0
        page.goto(f"{url}/?persona={persona.id}")
        drawn(page)
        expect(page.get_by_role("heading", level=2)).to_have_text(
            re.compile("www.?.evil.example"), timeout=PATIENCE_MS
        )
        assert page.locator("a[href*=evil], img[src*=evil]").count() == 0
        icon = page.locator("link[rel~=icon]").first.get_attribute("href")
        assert icon is not None
        assert icon.startswith("data:image/svg")
        assert page.evaluate("window.widgets || 0") == 0
        own = urlsplit(url).netloc
        foreign = [
            address
            for address in asked
            if urlsplit(address).scheme not in ("data", "blob") and urlsplit(address).netloc != own
        ]
        assert foreign == []
        evil = {"host": "evil.example"}
        assert httpx.get(url, headers=evil).status_code == 403
        assert httpx.put(f"{url}/_stcore/upload_file/a/b", headers=evil).status_code == 403


@pytest.mark.long
def test_a_vanished_browser_leaves_no_trace(browser: Browser, tmp_path: Path) -> None:
    """Tabs that close while a page is drawn and while a file is sent; the server says nothing."""
    port, video = free_port(), tmp_path / "video.mp4"
    video.write_bytes(b"x" * 10_000_000)
    with served_app(tmp_path, port) as url:
        for path, wait_ms in zip(PAGES, (0, 50, 150, 400), strict=True):
            page = browser.new_page()
            page.goto(f"{url}/{path}", wait_until="domcontentloaded")
            page.wait_for_timeout(wait_ms)
            page.close()
        page = opened(browser)
        page.goto(f"{url}/submit")
        drawn(page)
        # So slow that most of the file is still to be sent.
        slow = {"offline": False, "latency": 0, "downloadThroughput": -1}
        slow["uploadThroughput"] = 100_000
        page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
        with page.expect_request(lambda request: request.method == "PUT"):
            page.locator("input[type=file]").first.set_input_files(video)
        page.wait_for_timeout(1000)
        page.close()
        reset_websocket(port)
        page = opened(browser)
        page.goto(url)
        drawn(page)
    log = (tmp_path / "app.log").read_text()
    assert "Error" not in log, log


def reset_websocket(port: int) -> None:
    """Open a page's WebSocket and reset the connection, as a machine that is switched off."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.sendall(
        f"GET /_stcore/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert b" 101 " in connection.recv(1000)
    connection.close()
