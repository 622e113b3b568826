"""The main job in a real browser: submit a video, see it reach done, download the CSV."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Locator, Page, expect

from support.app_process import free_port, served_app

pytestmark = pytest.mark.journey

# For a page that hangs: nothing is expected within a time.
PATIENCE_MS = 120_000
LIFE_MS = 300_000
expect.set_options(timeout=PATIENCE_MS)
# Everything is there, and nothing has moved for 20 frames.
SETTLED = """() => new Promise(settled => {
    let before = "", frames = 0
    const frame = () => {
        const main = document.querySelector("[data-testid=stMain]")
        const now = [main.scrollWidth, main.scrollHeight, main.querySelectorAll("*").length].join()
        const isLoading = main.querySelector("[data-testid=stSkeleton]") !== null
        frames = now === before && !isLoading ? frames + 1 : 0
        before = now
        frames < 20 ? requestAnimationFrame(frame) : settled()
    }
    frame()
})"""


@pytest.fixture
def app_url(tmp_path: Path) -> Iterator[str]:
    """Serve the app as the README starts it, on a sandbox where a life takes 9 to 22 seconds."""
    with served_app(tmp_path, free_port(), AVATARKIT_SANDBOX_SPEED="20000") as url:
        yield url


def until(page: Page, is_true: Callable[[], bool]) -> None:
    """Wait for something outside the browser."""
    for _ in range(PATIENCE_MS // 50):
        if is_true():
            return
        page.wait_for_timeout(50)
    pytest.fail("It did not come about.")


def typed(tmp_path: Path) -> list[tuple[str, str]]:
    """Return creator name and gender in the drafts of all browsers."""
    paths = (tmp_path / "data" / "sandbox" / "drafts").glob("*/draft.json")
    drafts = [json.loads(path.read_text()) for path in paths]
    return [(draft.get("creator_name", ""), draft.get("gender", "")) for draft in drafts]


def uploads(tmp_path: Path) -> list[str]:
    """Return the names of all uploads on disk."""
    paths = (tmp_path / "data" / "sandbox").rglob("*.mp4")
    return sorted(path.name for path in paths if "api" not in path.parts)


def badge(page: Page, text: str) -> Locator:
    """Return the badge of that text; its icon is text as well."""
    return page.locator(".stMarkdownBadge", has_text=text).first


def below_title(page: Page, locator: Locator) -> float:
    """Return how far below the page's title something is, wherever the page is scrolled to."""
    boxes = (each.bounding_box() for each in (locator, page.get_by_role("heading", level=1)))
    [place, title] = [box["y"] for box in boxes if box is not None]
    return place - title


def go(page: Page, name: str) -> None:
    page.get_by_role("link", name=name).first.click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    # Streamlit cancels a download that begins while the page is still sent.
    page.evaluate(SETTLED)


def download(page: Page, name: str, path: Path) -> None:
    """Click a button, and save what it brings, again if Streamlit has cancelled it.

    It does if the page is drawn again just then.
    """
    for _ in range(5):
        page.evaluate(SETTLED)
        with page.expect_download() as downloading:
            page.get_by_role("button", name=name).click()
        if downloading.value.failure() is None:
            downloading.value.save_as(path)
            return
    pytest.fail("Each download was cancelled.")


def test_from_a_video_to_a_csv(
    app_url: str, page: Page, talking_head: Path, tmp_path: Path
) -> None:
    """A newcomer submits a real MP4, sees it reach done, opens its details, reads the CSV."""
    # A link may be the first that a new server is asked for.
    page.goto(f"{app_url}/stage-times")
    expect(page.get_by_text("No stage times yet")).to_be_visible()
    page.goto(app_url)
    expect(page.get_by_text("No avatars yet")).to_be_visible()
    # From a video to an accepted avatar it takes five actions.
    actions = 0

    def act(locator: Locator, do: Callable[[Locator], object] = Locator.click) -> None:
        nonlocal actions
        actions += 1
        do(locator)

    act(page.get_by_role("link", name="Submit one"))
    expect(page.get_by_role("heading", name="Submit")).to_be_visible()
    expect(badge(page, "Sandbox")).to_be_visible()

    # What was typed survives a reload.
    name = page.get_by_role("textbox", name="Creator name")
    act(name, lambda field: field.fill("Ada Lovelace"))
    act(page.get_by_role("radio", name="Female"))
    until(page, lambda: typed(tmp_path) == [("Ada Lovelace", "f")])
    page.reload()
    expect(name).to_have_value("Ada Lovelace")

    button = page.get_by_role("button", name="Submit", exact=True)
    page.evaluate(SETTLED)
    empty = below_title(page, button)
    uploader = page.locator("input[type=file]").first
    act(uploader, lambda field: field.set_input_files(talking_head))
    expect(page.get_by_text(talking_head.name).first).to_be_visible()
    expect(page.get_by_text("checks are fine")).to_be_visible()
    # What is found moves nothing above it.
    assert below_title(page, button) == empty
    page.get_by_text("More: keywords").click()
    page.get_by_role("textbox", name="Labels").fill("sandbox:done")
    page.get_by_role("textbox", name="Labels").press("Enter")
    # Where the form stands does not depend on what was sent before.
    top = below_title(page, name)
    act(button)
    sent = page.get_by_role("link", name="Ada Lovelace was submitted")
    expect(sent).to_be_visible()
    assert actions == 5
    assert below_title(page, name) == top

    sent.click()
    expect(page.get_by_role("heading", name="Avatars", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="Ada Lovelace")).to_be_visible()
    expect(badge(page, "Active")).to_be_visible(timeout=LIFE_MS)
    expect(badge(page, "Done")).to_be_visible()
    expect(page.locator("canvas, svg.marks").first).to_be_visible()

    path = tmp_path / "statuses.csv"
    download(page, "Download statuses", path)
    frame = pd.read_csv(path)
    assert list(frame["creator_name"]) == ["Ada Lovelace"]
    assert list(frame["status"]) == ["done"]
    assert frame["labels"][0] == '["sandbox:done"]'

    # Streamlit's own download and copying would write formulas.
    page.get_by_test_id("stDataFrame").first.hover()
    expect(page.get_by_role("button", name="Search").first).to_be_visible()
    expect(page.get_by_role("button", name="Download as CSV")).to_have_count(0)
    page.get_by_text("For spreadsheets", exact=True).click()
    download(page, "Download statuses (for spreadsheets)", path)
    assert path.read_bytes().startswith(b"\xef\xbb\xbfpersona_id,creator_name,end,")
    assert list(pd.read_csv(path)["end"]) == ["done"]

    go(page, "Stage times")
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    download(page, "Download stage times", path)
    visits = pd.read_csv(path)
    assert set(visits["persona_id"]) == set(frame["persona_id"])
    assert (visits["max_h"] > 0).all()
    for name in ("percentiles", "arrivals"):
        download(page, f"Download {name}", path)
        assert len(pd.read_csv(path)) == (6 if name == "percentiles" else 0)

    go(page, "Settings")
    expect(page.get_by_text("This app; last pass")).to_be_visible()


@pytest.mark.long
def test_two_browsers_share_nothing(app_url: str, page: Page, tmp_path: Path) -> None:
    """Each browser has its own form and files, stored once; what was submitted does not return."""

    def fill(page: Page, name: str) -> None:
        page.get_by_role("textbox", name="Creator name").fill(name)
        page.get_by_role("textbox", name="Creator name").press("Enter")
        page.get_by_role("radio", name="Female").click()
        until(page, lambda: (name, "f") in typed(tmp_path))
        page.evaluate(SETTLED)

    def upload(page: Page, field: str, name: str) -> None:
        path = tmp_path / name
        path.write_bytes(b"no video " * 99)  # looked at faster than a video
        place = page.locator(f".st-key-submit_{field}_control input[type=file]")
        place.set_input_files(path)
        expect(page.get_by_text(f"{name}, ")).to_be_visible()
        # Streamlit forgets an upload that begins while it begins another run.
        page.evaluate(SETTLED)

    def open_form(page: Page, name: str) -> None:
        page.goto(f"{app_url}/submit")
        expect(page.get_by_role("textbox", name="Creator name")).to_have_value(name)

    # Uploaded while the fragment with the submissions reruns every second: stored once.
    open_form(page, "")
    fill(page, "Ada")
    upload(page, "lipsync_input", "ada.mp4")
    upload(page, "consent_video", "consent.mp4")
    assert uploads(tmp_path) == ["ada.mp4", "consent.mp4"]

    # A second browser has an empty form; what it submits is its own, and only that goes.
    assert page.context.browser is not None
    context = page.context.browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    other = context.new_page()
    open_form(other, "")
    expect(other.get_by_text("ada.mp4")).to_have_count(0)
    fill(other, "Bob")
    upload(other, "lipsync_input", "bob.mp4")
    other.get_by_text("Send it although").click()
    submit = other.get_by_role("button", name="Submit", exact=True)
    expect(submit).to_be_enabled()
    # Twice, and the tab is closed at once: it is sent once, and its form does not come back.
    submit.dblclick()
    until(other, lambda: typed(tmp_path) == [("Ada", "f")])
    other.close()
    other = context.new_page()
    open_form(other, "")
    expect(other.get_by_role("link", name="Bob was submitted")).to_be_visible()
    until(other, lambda: uploads(tmp_path) == ["ada.mp4", "consent.mp4"])
    go(other, "Avatars")
    download(other, "Download statuses", tmp_path / "statuses.csv")
    assert list(pd.read_csv(tmp_path / "statuses.csv")["creator_name"]) == ["Bob"]

    # The first browser still has its form and its files, and can delete them.
    open_form(page, "Ada")
    expect(page.get_by_text("ada.mp4, ")).to_be_visible()
    expect(page.get_by_role("link", name="Bob was submitted")).to_have_count(0)
    go(page, "Settings")
    page.get_by_role("button", name="Delete 2 files").click()
    until(page, lambda: uploads(tmp_path) == [])
