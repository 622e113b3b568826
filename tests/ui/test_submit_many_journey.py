"""Many avatars from a sheet in a real browser, also when the server is killed in the middle."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from support.app_process import app_url, free_port, served_app, start_app

pytestmark = pytest.mark.journey

# For a page that hangs: nothing is expected within a time.
PATIENCE_MS = 120_000
expect.set_options(timeout=PATIENCE_MS)
BAD = {2: "gender", 3: "footage", 5: "name"}
SPEED = {"AVATARKIT_SANDBOX_SPEED": "20000"}


def a_sheet(path: Path, count: int) -> Path:
    """Write a sheet of URLs of which the rows in ``BAD`` cannot be sent."""
    lines = ["creator_name;gender;video_scene;lipsync_input"]
    for number in range(1, count + 1):
        fault = BAD.get(number)
        name = "" if fault == "name" else f"Person {number}"
        gender = "woman" if fault == "gender" else "f"
        footage = "gone.mp4" if fault == "footage" else f"https://cdn.example.com/{number}.mp4"
        lines.append(f"{name};{gender};office;{footage}")
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    return path


def sheet_input(page: Page) -> Locator:
    """Find the field for the sheet, not those of the form that the browser still shows."""
    field = page.get_by_test_id("stFileUploader").filter(has_text="A CSV, and the videos")
    return field.locator("input[type=file]")


def until(page: Page, tmp_path: Path, is_true: Callable[[], bool]) -> None:
    """Wait for something outside the browser."""
    for _ in range(PATIENCE_MS // 50):
        if is_true():
            return
        page.wait_for_timeout(50)
    with closing(sqlite3.connect(tmp_path / "data" / "sandbox" / "avatarkit.db")) as log:
        open_rows = log.execute(
            "SELECT state, creator_name, error FROM submissions WHERE state <> 'accepted'"
        )
        pytest.fail(f"It did not come about: {states(tmp_path)}, {open_rows.fetchall()}")


def states(tmp_path: Path) -> Counter[str]:
    """Return how many submissions of the log are in each state."""
    path = tmp_path / "data" / "sandbox" / "avatarkit.db"
    with closing(sqlite3.connect(path)) as log:
        return Counter(dict(log.execute("SELECT state, count(*) FROM submissions GROUP BY state")))


def control(tmp_path: Path, method: str, path: str, given: object = None) -> httpx.Response:
    """Call the sandbox of the app."""
    [served] = (tmp_path / "data" / "sandbox").rglob("sandbox.json")
    sandbox = json.loads(served.read_text())
    keys = {"X-API-ID": sandbox["api_id"], "X-API-KEY": sandbox["api_key"]}
    return httpx.request(method, sandbox["url"] + path, headers=keys, json=given)


def personas(tmp_path: Path) -> list[dict[str, Any]]:
    """Return the avatars that the sandbox has."""
    listed: list[dict[str, Any]] = control(tmp_path, "GET", "/api/personas_v2/").json()
    return listed


@pytest.mark.long
@pytest.mark.parametrize("count", [7, 50])
def test_a_sheet_is_sent_once_though_the_server_is_killed(
    page: Page, tmp_path: Path, count: int
) -> None:
    """Three bad rows are named before anything is sent, and the others all become avatars."""
    port, good = free_port(), count - len(BAD)
    process = start_app(tmp_path, port, **SPEED)
    try:
        page.goto(f"{app_url(port)}/submit?avatars=Many")
        csv = sheet_input(page)
        csv.set_input_files(a_sheet(tmp_path / "batch.csv", count))
        send = page.get_by_role("button", name=f"Send {good} avatars without the other 3")
        expect(send).to_be_visible()
        for sentence in ("Row 2, Person 2: Gender", "Row 3, Person 3: Footage: gone.mp4", "Row 5:"):
            expect(page.get_by_text(sentence)).to_be_visible()
        assert not states(tmp_path)
        # From some call on no create is answered, so that it is killed in the middle.
        silence = {"fault": "endless", "method": "POST", "path": "/api/*", "share": 1.0}
        if count < 10:
            control(tmp_path, "POST", "/_sandbox/faults/", silence)
        send.click()
        if count >= 10:
            until(page, tmp_path, lambda: states(tmp_path)["accepted"] >= 3)
            control(tmp_path, "POST", "/_sandbox/faults/", silence)

        def are_unanswered() -> bool:
            made, known = len(personas(tmp_path)), states(tmp_path)
            return known["sending"] == 2 and made == known["accepted"] + 2

        # Both are carried out, and no answer arrives.
        until(page, tmp_path, are_unanswered)
    finally:
        process.kill()
        process.wait()
    assert states(tmp_path)["prepared"] >= 1

    with served_app(tmp_path, port, **SPEED):
        page.reload()
        page.get_by_role("button", name="Go on with").click()
        expect(page.get_by_text(f"{good} avatars: {good} accepted")).to_be_visible()
        expect(page.get_by_text("3 rows cannot be sent")).to_be_visible()
        listed = personas(tmp_path)
        names = sorted(persona["creator_name"] for persona in listed)
        assert names == sorted(f"Person {n}" for n in range(1, count + 1) if n not in BAD)
        with page.expect_download() as downloading:
            page.get_by_role("button", name="Download the results").click()
        text = Path(downloading.value.path()).read_text()
        assert all(persona["id"] in text for persona in listed)


@pytest.mark.long
def test_twelve_avatars_take_four_actions(page: Page, tmp_path: Path, talking_head: Path) -> None:
    """Open the tab, drop the sheet, name the folder, send: the videos are real ones."""
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "head.mp4").write_bytes(talking_head.read_bytes())
    lines = ["creator_name,gender,lipsync_input"]
    for number in range(12):
        (folder / f"{number}.mp4").symlink_to("head.mp4")
        lines.append(f"Person {number},m,{number}")
    sheet = tmp_path / "batch.csv"
    sheet.write_text("\n".join(lines))
    with served_app(tmp_path, free_port()) as url:
        page.goto(f"{url}/submit")
        actions = 0
        for act in (
            lambda: page.get_by_role("radio", name="Many").click(),
            lambda: sheet_input(page).set_input_files(sheet),
            lambda: page.get_by_role("textbox", name="Folder on the server").fill(str(folder)),
            lambda: page.get_by_role("button", name="Send 12 avatars", exact=True).click(),
        ):
            act()
            page.keyboard.press("Tab")
            actions += 1
        expect(page.get_by_text("12 avatars: 12 accepted")).to_be_visible()
    assert actions <= 5
