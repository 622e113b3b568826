"""The lines of what a browser has sent."""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from avatarkit import Persona, PersonaCreate
from avatarkit.errors import ConfigError
from avatarkit.store.submissions import Submission
from avatarkit.ui.draft import Draft
from avatarkit.ui.outbox import OutboxItem
from avatarkit.ui.running import Running
from support.app_pages import BROWSER, record, submit_page, texts
from support.manual_clock import ManualClock

SENT_S = 300.0


def send(app: Running, name: str) -> Submission:
    """Send an avatar from ``BROWSER``, with an upload; return its submission."""
    draft = Draft(app.outbox.uploads.draft(BROWSER).folder, {})
    path = draft.save_upload(name, f"{name}.mp4", BytesIO(b"no video"))
    submission_id = app.outbox.send(
        PersonaCreate(creator_name=name, gender="f", lipsync_input=path), draft, {}
    )
    app.outbox.wait(submission_id, SENT_S)
    [submission] = app.session.store.some_submissions([submission_id])
    return submission


def links(test: AppTest) -> list[str]:
    """Return the labels of the links to avatars."""
    protos = [element.proto for element in test.get("page_link")]
    return [proto.label for proto in protos if proto.query_string]


def refuse(*_: object, **__: object) -> None:
    raise ConfigError("The plan is full.")


@pytest.mark.long
def test_a_line_goes_when_its_avatar_has_ended(app: Running, app_clock: ManualClock) -> None:
    """What is over is on the Avatars page; a line for it is dismissed for good."""
    ada, bo = send(app, "Ada"), send(app, "Bo")
    test = submit_page()
    assert sorted(links(test)) == ["Ada was submitted", "Bo was submitted"]
    app_clock.advance(timedelta(minutes=1))
    record(app.session, Persona(id=str(ada.persona_id), process_status="failed"))
    record(app.session, Persona(id=str(bo.persona_id), process_status="reviewing"))
    assert links(test.run()) == ["Bo was submitted"]
    assert [item.submission.persona_id for item in app.outbox.items(BROWSER)] == [bo.persona_id]


def test_all_lines_are_dismissed_at_once(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """One click does it; a question comes first where the only copy of a file would go."""
    for name in ("Ada", "Bo"):
        send(app, name)
    test = submit_page()
    test.button(key="submit_dismiss_all_now").click().run()
    assert links(test) == []
    assert app.outbox.items(BROWSER) == []
    monkeypatch.setattr(app.session.client, "create_persona", refuse)
    for name in ("Cy", "Di"):
        send(app, name)
    test.run()
    assert "Cy was not submitted: The plan is full." in texts(test)
    assert "2 were not submitted; what was uploaded for them is deleted." in texts(test)
    assert len(app.outbox.stored()) == 2
    test.button(key="submit_dismiss_all_now").click().run()
    assert app.outbox.stored() == []
    assert app.outbox.items(BROWSER) == []


def test_how_far_an_upload_is(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said in percent and MB a second, and what is waited for."""
    states = [("prepared", 0), ("sending", 25_000_000), ("sending", 100_000_000)]
    items = [
        OutboxItem(
            Submission(str(number), state, {"creator_name": "Ada"}, None, None),
            sent,
            100_000_000,
            None,
            bytes_per_s=3_200_000,
        )
        for number, (state, sent) in enumerate(states)
    ]
    monkeypatch.setattr(app.outbox, "items", lambda _: items)
    bars: list[Any] = [element.proto for element in submit_page().get("progress")]
    assert [(bar.value, bar.text) for bar in bars] == [
        (0, "Ada waits to be sent"),
        (25, "Sending Ada: 25% (25.0 of 100.0 MB), 3.2 MB/s"),
        (100, "Ada is sent; waiting for the answer"),
    ]
