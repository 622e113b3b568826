"""Make the pictures of the README, the same each time: ``nox -s screenshots``.

One process serves the app on the sandbox of ``support.story``, whose clock stands still while a
picture is taken, and drives a Chromium in windows of fixed sizes, in UTC. With the same versions of
the packages, the browser and the fonts they look the same each time, but for two in 255 of some
pixels of round corners; a file that looks the same is left as it is.

``python tests/support/screenshots.py NAME …`` makes only these pictures.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

# Before anything reads them: no keys, no settings and no secrets of the person who runs this.
FOLDER = Path(tempfile.gettempdir(), "avatarkit-screenshots")
"""Fixed, as the Settings page shows it."""
HOME = {"HOME": str(FOLDER), "USERPROFILE": str(FOLDER), "AVATARKIT_ENV_FILE": ""}
os.environ |= HOME

import httpx
from click import Abort
from PIL import Image, ImageChops, ImageSequence
from playwright.sync_api import Browser, Page, expect, sync_playwright

from avatarkit.clock import SystemClock
from avatarkit.sandbox import footage
from avatarkit.ui import running
from avatarkit.ui.browser import COOKIE
from avatarkit.ui.running import Running
from support import chromium, story
from support.project import ROOT

PICTURES = ROOT / "docs" / "screenshots"
PORT = 8599
URL = f"http://127.0.0.1:{PORT}"
WEEKS_H = 536.0
DESKTOP, TALL, LOW, PHONE = (1280, 960), (1280, 1320), (1280, 760), (390, 1100)
NAMES = (
    "avatars", "avatars-dark", "avatars-phone", "details", "submit", "submit-many", "stage-times",
    "settings",
)  # fmt: skip
ANIMATED = "going-live"
SHEET = """creator_name,gender,video_scene,labels,lipsync_input
Ada Lovelace,f,office,sales,https://videos.example.com/ada.mp4
Alan Kay,m,studio,sales,https://videos.example.com/alan.mp4
Barbara Liskov,f,office,training,https://videos.example.com/barbara.mp4
Edsger Dijkstra,m,studio,training,edsger.mp4
Grace Hopper,f,office,support,https://videos.example.com/grace.mp4
Margaret Hamilton,f,studio,support,https://videos.example.com/margaret.mp4
"""
FRAME, COLORS = (1000, 720), 255
HOURS = (*range(2, 32, 2), *range(32, 123, 6))
"""The hours of the frames; the stages before the review are short."""
FRAME_MS, LAST_FRAME_MS = 280, 2500
UNSEEN = 8
"""Of 255; two runs differ by 2 in some pixels of round corners."""
PATIENCE_MS = 120_000
expect.set_options(timeout=PATIENCE_MS)
CLOCK = SystemClock()
DRAWN = "[data-testid=stApp][data-test-script-state=notRunning]"
BUSY = "[data-testid=stSkeleton], [data-testid=stSpinner], [data-stale=true]"


@dataclass(frozen=True)
class Picture:
    """A picture of a page.

    Attributes:
        path: The path and query of the page.
        size: Width and height of the window.
        scheme: ``light`` or ``dark``.
        prepare: Called with the page once it is drawn.
    """

    path: str = ""
    size: tuple[int, int] = DESKTOP
    scheme: str = "light"
    prepare: Callable[[Page], None] = lambda _: None


def fill_form(page: Page) -> None:
    """Fill the form of the Submit page, with a video."""
    video = FOLDER / "ada.mp4"
    footage.talking_head(video, seconds=16)
    page.get_by_role("textbox", name="Creator name").fill("Ada Lovelace")
    page.get_by_role("textbox", name="Creator name").press("Enter")
    page.get_by_role("radio", name="Female").click()
    page.get_by_role("textbox", name="Video scene").fill("office")
    page.get_by_role("textbox", name="Video scene").press("Enter")
    settled(page)  # Streamlit forgets an upload that begins while it begins another run
    page.locator("input[type=file]").first.set_input_files(video)
    expect(page.get_by_text("checks are fine")).to_be_visible()


def drop_sheet(page: Page) -> None:
    """Drop a sheet on the tab for many avatars, of which one row has a fault."""
    page.get_by_role("radio", name="Many").click()
    expect(page.get_by_role("textbox", name="Folder on the server")).to_be_visible()
    file = {"name": "autumn.csv", "mimeType": "text/csv", "buffer": SHEET.encode()}
    settled(page)
    page.locator("input[type=file]").first.set_input_files(file)
    expect(page.get_by_text("cannot be sent")).to_be_visible()


def picture_of(name: str, app: Running) -> Picture:
    """Return the picture of this name, of the story that the app tells."""
    if name == "details":
        personas = app.session.store.personas()
        failed = personas.loc[personas["status"] == "failed", "persona_id"].iloc[0]
        return Picture(f"?persona={failed}", TALL)
    return {
        "avatars": Picture(),
        "avatars-dark": Picture(scheme="dark"),
        "avatars-phone": Picture(size=PHONE),
        "submit": Picture("submit", (1280, 1180), prepare=fill_form),
        "submit-many": Picture("submit", (1280, 1150), prepare=drop_sheet),
        "stage-times": Picture("stage-times"),
        "settings": Picture("settings", LOW),
    }[name]


def settled(page: Page) -> bytes:
    """Return a picture of the page as soon as three in a row are the same."""
    shots: list[bytes] = []
    while len(shots) < 3 or len(set(shots[-3:])) > 1:
        page.wait_for_timeout(300)
        page.wait_for_selector(DRAWN)
        expect(page.get_by_role("heading").first).to_be_visible()
        expect(page.locator(BUSY)).to_have_count(0)
        shots.append(page.screenshot(animations="disabled", caret="hide"))
    return shots[-1]


@contextmanager
def opened(browser: Browser, name: str, picture: Picture) -> Iterator[Page]:
    """Open a page in a browser of its own, with the sandbox's explanation dismissed."""
    width, height = picture.size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if picture.scheme == "dark" else "light",
        timezone_id="UTC",
        locale="en-GB",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_MS)
    # The app knows a browser by it; a random one would be part of paths.
    context.add_cookies([{"name": COOKIE, "value": name.ljust(43, "-"), "url": URL}])
    page = context.new_page()
    page.goto(f"{URL}/settings")
    page.get_by_role("button", name="Got it").click()
    expect(page.get_by_role("button", name="Got it")).to_have_count(0)
    page.mouse.move(1, 1)
    page.goto(f"{URL}/{picture.path}")
    yield page
    context.close()


def take(browser: Browser, name: str, picture: Picture) -> None:
    """Take a picture and write it."""
    with opened(browser, name, picture) as page:
        picture.prepare(page)
        shot = Image.open(io.BytesIO(settled(page))).convert("RGB")
    file = io.BytesIO()
    shot.save(file, "PNG", optimize=True)
    write(PICTURES / f"{name}.png", file)


def write(path: Path, file: io.BytesIO) -> None:
    """Write a picture, unless the file there looks the same."""
    shown = path.relative_to(ROOT)
    if path.exists() and look_same(frames_of(file), frames_of(path)):
        print(f"{shown}: as it was", flush=True)
        return
    path.write_bytes(file.getvalue())
    print(f"{shown}: {path.stat().st_size / 1e3:,.0f} kB", flush=True)


def frames_of(file: Path | io.BytesIO) -> list[Image.Image]:
    """Return the frames of a picture, in its own colours."""
    return [frame.convert("RGB") for frame in ImageSequence.Iterator(Image.open(file))]


def look_same(new: list[Image.Image], old: list[Image.Image]) -> bool:
    """Return whether frames differ by no more than how Chromium draws round corners."""
    if [frame.size for frame in new] != [frame.size for frame in old]:
        return False
    differences = map(ImageChops.difference, new, old)
    return all(high <= UNSEEN for each in differences for _, high in each.getextrema())


def animate(browser: Browser, app: Running) -> None:
    """Write an animated picture of six avatars from the submission to the end."""
    frames = []
    picture = Picture("?sort=Name", FRAME)
    with opened(browser, ANIMATED, picture) as page:
        for hour in HOURS:
            # An open page would read the log on the way, and so work out other ranges.
            page.goto("about:blank")
            story.advance(app.session, hour)
            page.goto(f"{URL}/{picture.path}")
            frames.append(Image.open(io.BytesIO(settled(page))).convert("RGB"))
    palette = frames[len(frames) // 2].quantize(COLORS)
    drawn = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [FRAME_MS] * (len(drawn) - 1) + [LAST_FRAME_MS]
    file = io.BytesIO()
    drawn[0].save(file, "GIF", save_all=True, append_images=drawn[1:], duration=durations, loop=0)
    write(PICTURES / f"{ANIMATED}.gif", file)


def weeks_told() -> Running:
    """Open the app on the story of weeks, with a tracker that has tried the keys."""
    app = story.open_app(FOLDER)
    story.tell(app, story.weeks(), WEEKS_H)
    tracker = app.session.tracker
    tracker.start()  # then it waits for its clock, which stands still
    while tracker.access.tried_at != app.session.clock.now():
        CLOCK.sleep(0.1)
    return app


def days_told() -> Running:
    """Open the app on the story of days, at its beginning."""
    app = story.open_app(FOLDER)
    story.tell(app, story.days(), HOURS[0])
    return app


def make(app: Running, names: set[str]) -> None:
    """Make the pictures of these names; the app is served by then, or soon."""
    while True:
        with suppress(httpx.HTTPError):
            if httpx.get(f"{URL}/_stcore/health").status_code == 200:
                break
        CLOCK.sleep(0.2)
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.find(),
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                # What is drawn does not depend on what was drawn before, or in which order.
                "--disable-partial-raster",
                "--num-raster-threads=1",
            ],
        )
        for name in NAMES:
            if name in names:
                take(browser, name, picture_of(name, app))
        if ANIMATED in names:
            if len(names) > 1:
                running.close()
                app = days_told()
            animate(browser, app)
        browser.close()


def main() -> None:
    """Serve the app in this thread, and make the pictures in another."""
    parser = argparse.ArgumentParser(description="Make the pictures of the README.")
    parser.add_argument("names", nargs="*", help="only these", choices=[*NAMES, ANIMATED, []])
    names = set(parser.parse_args().names or [*NAMES, ANIMATED])
    app = days_told() if names == {ANIMATED} else weeks_told()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            make(app, names)
        except BaseException as error:
            errors.append(error)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=work, name="screenshots").start()
    os.chdir(ROOT)
    from streamlit.web import cli

    options = [f"--server.port={PORT}", "--server.headless=true"]
    with suppress(KeyboardInterrupt, Abort):
        cli.main(["run", str(ROOT / "app.py"), *options], standalone_mode=False)
    shutil.rmtree(FOLDER, ignore_errors=True)
    if errors:
        raise errors[0]


if __name__ == "__main__":
    main()
