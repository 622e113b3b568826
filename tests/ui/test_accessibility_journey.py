"""What axe-core finds on every page, light and dark, and whether a phone has to scroll sideways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from avatarkit import Persona, PersonaCreate, open_session
from avatarkit.session import Session
from support.app_pages import record, record_lives
from support.app_process import free_port, served_app

pytestmark = pytest.mark.journey

PATIENCE_MS = 120_000
PHONE = {"width": 380, "height": 800}
DESKTOP = {"width": 1280, "height": 900}
HEADINGS = ("heading-order", "page-has-heading-one")
"""Rules that count although axe-core calls them moderate."""

OF_STREAMLIT: dict[tuple[str, str], str] = {}
"""Findings in Streamlit's own elements that no option changes: rule and part of the selector."""

TOO_WIDE = """() => [document.documentElement, document.querySelector("[data-testid=stMain]")]
    .map(element => element.scrollWidth - element.clientWidth)
    .reduce((a, b) => Math.max(a, b))"""


def drawn(page: Page) -> None:
    """Wait until the script of the page has run to its end, and nothing is loading."""
    expect(page.get_by_role("heading", level=1).first).to_be_visible(timeout=PATIENCE_MS)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    for waits in ("[data-testid=stSkeleton]", "[data-stale=true]"):
        expect(page.locator(waits)).to_have_count(0, timeout=PATIENCE_MS)
    page.wait_for_load_state("networkidle")


def fill(session: Session) -> str:
    """Log avatars in several states and an uncertain submission; return the id of a failed one."""
    record_lives(session, 6, running=3, late=1)
    reason = "The face is not visible in every part of the video."
    failed = Persona(
        id="failed-1", creator_name="Bo", process_status="failed", failed_reason=reason
    )
    record(session, failed, source="list")
    now, store = session.clock.now(), session.store
    submission_id = store.prepare(PersonaCreate(creator_name="Cy", gender="f"), now)
    store.sending(submission_id, now)
    store.uncertain(submission_id, now, "The connection broke.")
    store.release(submission_id)
    return failed.id


def findings(page: Page) -> list[str]:
    """Return what axe-core finds serious, critical or wrong in the order of headings."""
    from axe_playwright_python.sync_playwright import Axe

    violations: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{violation['id']} ({violation['impact']}): {selector}: {node['failureSummary']}"
        for violation in violations
        if violation["impact"] in ("serious", "critical") or violation["id"] in HEADINGS
        for node in violation["nodes"]
        for selector in [" ".join(map(str, node["target"]))]
        if not any(
            rule == violation["id"] and part in selector + node["html"]
            for rule, part in OF_STREAMLIT
        )
    ]


@pytest.mark.long
def test_every_page_is_for_everyone(browser: Browser, tmp_path: Path) -> None:
    """No serious finding, empty or filled, light or dark; nothing is wider than a phone."""
    found: list[str] = []
    with served_app(tmp_path, free_port(), AVATARKIT_SANDBOX_SPEED="1") as url:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)

        def check(path: str) -> None:
            page.emulate_media(color_scheme="light")
            page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
            page.goto(f"{url}/{path}")
            drawn(page)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                expect(page.get_by_test_id("stApp")).to_have_css("color-scheme", scheme)
                found.extend(f"/{path} {scheme}: {finding}" for finding in findings(page))
            page.set_viewport_size(PHONE)  # type: ignore[arg-type]
            drawn(page)
            try:
                page.wait_for_function(f"({TOO_WIDE})() <= 0", timeout=30_000)
            except PlaywrightTimeoutError:
                found.append(f"/{path} is {page.evaluate(TOO_WIDE)} px wider than a phone")

        check("")
        with open_session() as session:
            failed_id = fill(session)
        for path in ("", f"?persona={failed_id}", "submit", "submit?avatars=Many", "stage-times"):
            check(path)
        check("settings")
    assert found == [], "\n" + "\n".join(found)
