"""Pages of the app run by AppTest, and what their tests read from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

import avatarkit
from avatarkit import Persona
from avatarkit.models import STAGES, VIDEO_FIELDS, ProcessStatus
from avatarkit.session import Session
from avatarkit.ui import browser

MAIN = Path(avatarkit.__file__).parent / "ui" / "main.py"
HOUR = timedelta(hours=1)
# Only for a page that hangs: no test depends on how fast a machine is.
HANGS_S = 300
BROWSER = "b" * 32
"""The browser in which pages are opened, as AppTest has no cookies."""


def submit_page(browser_id: str = BROWSER) -> AppTest:
    """Run the whole app at the Submit page."""
    return main_page("submit", browser_id)


def main_page(url_path: str, browser_id: str = BROWSER) -> AppTest:
    """Run the whole app at the page with this path in its URL."""
    test = _isolated(AppTest.from_file(str(MAIN), default_timeout=HANGS_S))
    test.session_state[browser.SESSION_KEY] = browser_id
    test._page_hash = calc_hash(url_path)  # AppTest chooses only pages that are files
    return test.run()


def page(script: Callable[[], None], state: dict[str, str] | None = None, **query: str) -> AppTest:
    """Run one page; ``query`` is that of its URL, ``state`` what its session knows already."""
    test = _isolated(AppTest.from_function(script, default_timeout=HANGS_S))
    for name, value in (state or {}).items():
        test.session_state[name] = value
    for name, value in query.items():
        test.query_params[name] = value
    return test.run()


def _isolated(test: AppTest) -> AppTest:
    # Without one secret set here, AppTest reads the secrets of whoever runs the tests.
    test.secrets["unused"] = "x"
    test.session_state[browser.SESSION_KEY] = BROWSER
    return test


def avatars_page() -> None:
    from avatarkit.ui.views import avatars

    avatars.show()


def stage_times_page() -> None:
    from avatarkit.ui.views import stage_times

    stage_times.show()


def settings_page() -> None:
    from avatarkit.ui.views import settings

    settings.show()


def texts(test: AppTest) -> str:
    """Return all texts of the page, without the signs that keep Markdown from reading them."""
    kinds = (test.markdown, test.caption, test.error, test.warning, test.info, test.success)
    return unescaped("\n".join(str(element.value) for kind in kinds for element in kind))


def unescaped(text: str) -> str:
    """Return a text as a page shows it, without what keeps Markdown from reading it."""
    return text.replace("\\", "").replace("\u2060", "")


def chart_titles(test: AppTest) -> list[str]:
    """Return the titles of the charts on the page."""
    charts = [*test.get("vega_lite_chart"), *test.get("arrow_vega_lite_chart")]
    return [json.loads(chart.proto.spec)["title"]["text"] for chart in charts]


def fill(test: AppTest, **values: str) -> AppTest:
    """Fill in fields of the form; videos by their path or URL."""
    shown = {element.key for element in test.text_input}
    if switched := [f for f in VIDEO_FIELDS if f in values and f"submit_{f}" not in shown]:
        for field in switched:
            test.button_group(key=f"submit_{field}_way").set_value("Path or URL")
        test.run()
    for field, value in values.items():
        if field == "gender":
            test.button_group(key="submit_gender").set_value(value)
        else:
            test.text_input(key=f"submit_{field}").set_value(value)
    return test.run()


def entered(test: AppTest, field: str) -> str:
    """Return what stands in a field of the form, also of a video that was uploaded."""
    return str(test.session_state[f"submit_{field}"])


def submit(test: AppTest) -> AppTest:
    """Click *Submit*."""
    return test.button(key="submit_send").click().run()


def tick(test: AppTest) -> AppTest:
    """Tick the first box of the page."""
    return test.checkbox[0].check().run()


def record(
    session: Session, persona: Persona, *, at: datetime | None = None, source: str = "poll"
) -> None:
    """Write an answer into the log, of now by default; the persona is not polled again."""
    at = at or session.clock.now()
    session.store.record(persona, asked_at=at, answered_at=at, source=source)


def record_lives(session: Session, count: int, *, running: int = 0, late: int = 0) -> list[str]:
    """Record personas that were followed for a week, the last ``running`` of them in reviewing.

    The first ``late`` of these have been in it for ten times as long as the others took.

    Returns:
        Their ids.
    """
    now, statuses = session.clock.now(), [*STAGES, ProcessStatus.DONE]
    ids = [f"lived-{i:03}" for i in range(count + running)]
    for i, persona_id in enumerate(ids):
        is_running = i >= count
        is_late = is_running and i - count < late
        created_at = now - HOUR * (200 + i if is_late else 22 if is_running else 150 - i)
        for place, status in enumerate(statuses[:-1] if is_running else statuses):
            persona = Persona(
                id=persona_id,
                creator_name=f"Ada {i}",
                process_status=status,
                created_at=created_at,
            )
            seen_at = created_at + place * 4 * HOUR
            is_last = is_running and status == statuses[-2]
            for moment in (seen_at, now if is_last else seen_at + (1 + i % 3) * HOUR):
                record(session, persona, at=moment, source="poll" if place else "list")
    return ids
