"""Rows of the Avatars page in a real browser: chosen, deleted, filtered, linked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from avatarkit import PersonaCreate, open_session
from avatarkit.session import Session
from support.app_process import free_port, served_app

pytestmark = pytest.mark.journey

PATIENCE_MS = 120_000
NAMES = ("Ada", "Bob", "Cleo", "Dora")
ROW_PX, BOX_X, NAME_X = 35, 15, 80
CANVAS = "[data-testid=stDataFrame] canvas"
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[tuple[str, Session]]:
    """Serve the app on a sandbox with four avatars, so slow that none changes meanwhile."""
    with (
        served_app(tmp_path, free_port(), AVATARKIT_SANDBOX_SPEED="60") as url,
        open_session() as session,
    ):
        for name in NAMES:
            session.tracker.submit(PersonaCreate(creator_name=name, gender="f", labels=[name]))
        yield url, session


def drawn(page: Page) -> None:
    """Wait until the table is there and the script of the page has run to its end."""
    page.wait_for_selector(CANVAS, state="attached")
    page.wait_for_timeout(300)  # a click is sent after 150 ms
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)


def click_row(page: Page, row: int, x: int) -> None:
    """Click into a row of the table, by its place."""
    drawn(page)
    box = page.locator(CANVAS).first.bounding_box()
    assert box is not None
    place = box["x"] + x, box["y"] + ROW_PX * (row + 1) + ROW_PX // 2
    page.mouse.move(place[0] + 9, place[1] - 9)
    page.mouse.move(*place, steps=4)
    page.wait_for_timeout(100)
    page.mouse.click(*place)


def opened(page: Page, name: str) -> None:
    """Wait until the details of an avatar are shown."""
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    drawn(page)


def test_rows_are_chosen_and_deleted(app: tuple[str, Session], page: Page) -> None:
    """A click opens details beside a table that stays as it is; checked rows are deleted by id."""
    url, session = app
    ids = dict(session.store.personas()[["creator_name", "persona_id"]].itertuples(index=False))
    page.goto(f"{url}/?sort=Name")
    drawn(page)
    page.evaluate(f"window.canvas = document.querySelector('{CANVAS}')")
    click_row(page, 1, NAME_X)
    opened(page, "Bob")
    expect(page).to_have_url(re.compile(f"persona={ids['Bob']}"))
    assert page.evaluate("window.canvas.isConnected"), "the table was built again"
    click_row(page, 0, BOX_X)
    opened(page, "Ada")
    click_row(page, 2, BOX_X)
    expect(page.get_by_text("2 chosen")).to_be_visible()

    # A new avatar moves the rows. What is chosen stays, but for Ada, whom the search hides.
    session.tracker.submit(PersonaCreate(creator_name="Aaron", gender="f"))
    page.get_by_role("textbox", name="Search").fill("o")
    page.get_by_role("textbox", name="Search").press("Enter")
    expect(page.get_by_text("4 of 5 shown")).to_be_visible()
    expect(page.get_by_text("2 chosen")).to_have_count(0)
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_text("5 of 5 shown")).to_be_visible()
    click_row(page, 1, BOX_X)
    expect(page.get_by_text("2 chosen")).to_be_visible()
    page.get_by_role("button", name="Delete", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Ada", exact=True)).to_be_visible()
    expect(dialog.get_by_text("Cleo", exact=True)).to_be_visible()
    dialog.get_by_role("textbox").fill("3")
    dialog.get_by_role("button", name="Delete for good").click()
    expect(dialog.get_by_text("nothing was deleted")).to_be_visible()
    dialog.get_by_role("textbox").fill("2")
    dialog.get_by_role("button", name="Delete for good").dblclick()
    expect(dialog).to_have_count(0)
    expect(page.get_by_text("Cleo: is deleted; its history stays here.")).to_be_visible()
    assert session.store.deleted_ids() == {ids["Ada"], ids["Cleo"]}
    expect(page.get_by_text("was deleted before")).to_have_count(0)


@pytest.mark.long
def test_the_url_holds_what_is_shown(app: tuple[str, Session], page: Page) -> None:
    """A reload, another page and back, and a copied link show the same; the keyboard chooses."""
    url, _ = app
    page.goto(url)
    page.goto(f"{url}/?sort=Name&status=nothing&since=yesterday")
    drawn(page)
    page.get_by_role("textbox", name="Search").fill("o")
    page.get_by_role("textbox", name="Search").press("Enter")
    expect(page.get_by_text("3 of 4 shown")).to_be_visible()
    page.get_by_role("radio", name="In progress").click()
    expect(page).to_have_url(re.compile("show=In"))
    click_row(page, 2, NAME_X)
    opened(page, "Dora")

    def is_the_same() -> None:
        opened(page, "Dora")
        expect(page.get_by_text("3 of 4 shown")).to_be_visible()
        expect(page.get_by_role("textbox", name="Search")).to_have_value("o")
        for part in ("sort=Name", "q=o", "show=In", "persona="):
            expect(page).to_have_url(re.compile(part))

    is_the_same()
    page.reload()
    is_the_same()
    page.get_by_role("link", name="Settings").first.click()
    expect(page.get_by_role("heading", name="Settings", exact=True)).to_be_visible()
    page.get_by_role("link", name="Avatars").first.click()
    is_the_same()
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    is_the_same()

    # By keyboard: to the row below, whose details open, and its box.
    click_row(page, 0, NAME_X)
    opened(page, "Bob")
    page.keyboard.press("Shift+Space")
    drawn(page)
    page.keyboard.press("ArrowDown")
    opened(page, "Cleo")
    page.keyboard.press("Shift+Space")
    expect(page.get_by_text("2 chosen")).to_be_visible()
