"""Show everything about one avatar: what happened, what is expected, what was sent and answered."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

import pandas as pd
import streamlit as st
from streamlit.column_config import DatetimeColumn, NumberColumn, TextColumn
from streamlit.elements.lib.column_types import ColumnConfig

from avatarkit.estimates import eta
from avatarkit.models import VIDEO_FIELDS, is_url
from avatarkit.reports import charts, tables
from avatarkit.reports.reasons import next_step
from avatarkit.session import Session
from avatarkit.text import format_hours, hide_webhook_token, plain, stage_name
from avatarkit.ui import charts_cache, moments, resubmit, running, video_report
from avatarkit.ui.colors import badge_color
from avatarkit.ui.footage_reports import KeptReport

ANCHOR = "details"
"""The anchor of the heading in the page."""

BAD_ENDS = ("failed", "rejected")
VIDEOS = {"lipsync_input": "Footage", "consent_video": "Consent"}
SENT = {
    "creator_name": "Creator name",
    "gender": "Gender",
    **VIDEOS,
    "gdown_url": "Google Drive link",
    "video_scene": "Video scene",
    "keywords": "Keywords",
    "labels": "Labels",
    "webhook_url": "Webhook URL",
}
SOURCES = {"create": "Answer to the create", "poll": "Poll", "list": "List"}


def show(session: Session, persona_id: str) -> None:
    """Show everything about one avatar.

    Args:
        session: The session.
        persona_id: Its id.
    """
    personas = session.store.personas(persona_id)
    if personas.empty:
        text = f"This account has no avatar {plain(persona_id)}; choose one."
        st.warning(text, icon=":material/help:")
        return
    row, submissions = personas.iloc[0], session.store.submissions(persona_id)
    reports: dict[str, KeptReport] = {}
    for submission_id in submissions["submission_id"]:
        reports |= running.get().outbox.reports.read(submission_id)
    _head(row)
    _notes(session, row)
    if row["status"] in BAD_ENDS:
        _bad_end(row, reports)
    _moments(session, persona_id)
    _history(session, persona_id)
    _sent(submissions, reports)
    if row["status"] not in BAD_ENDS and reports:
        with st.expander("Checks of the videos", key=f"details_checks_{persona_id}"):
            _checks(reports)
    _preview(row)
    _answers(session, persona_id)


def _head(row: pd.Series) -> None:
    persona_id, status = row["persona_id"], row["status"]
    with st.container(horizontal=True, vertical_alignment="center"):
        name = row["creator_name"]
        title = persona_id if pd.isna(name) or not name.strip() else name
        st.header(plain(title), anchor=ANCHOR, width="content")
        st.badge(plain(stage_name(status)), color=badge_color(status))
        if row["is_active"] is not pd.NA and row["is_active"]:
            st.badge("Active", color="green", icon=":material/check:")
    st.code(persona_id, language=None)
    if (url := st.context.url) is not None:
        page = url if urlsplit(url).path else f"{url}/"
        # The parameter that names it; see ``avatars.LINKED``.
        link = f"{page}?persona={quote(persona_id, safe='')}"
        st.code(link, language=None)


def _notes(session: Session, row: pd.Series) -> None:
    persona_id = row["persona_id"]
    if persona_id in session.store.deleted_ids():
        text = f"Deleted here {moments.exact(row['deleted_at'])}; its history is kept."
        st.info(text, icon=":material/delete:")
    elif row["gone"]:
        text = "The API does not find this avatar; it is polled daily, and its history is kept."
        if pd.notna(row["deleted_at"]):
            at = moments.exact(row["deleted_at"])
            text = f"The API has deleted this avatar, as seen {at}; its history is kept."
        st.warning(text, icon=":material/help:")
        if st.button("Poll again", key=f"details_again_{persona_id}"):
            session.store.make_due(persona_id, session.clock.now())
            st.rerun()
    if not row["followed"]:
        st.info("It is not followed, so it is not polled.", icon=":material/visibility_off:")
    if note := session.store.footage_note(persona_id):
        st.warning(plain(note), icon=":material/videocam_off:")
    reason = row["failed_reason"]
    if pd.notna(reason) and reason.strip():
        st.error(plain(reason), icon=":material/error:")
    if pd.notna(row["last_error"]):
        at = "" if pd.isna(row["last_error_at"]) else f" {moments.exact(row['last_error_at'])}"
        text = f"The last poll{at} failed: {plain(row['last_error'])}"
        st.warning(text, icon=":material/warning:")


def _bad_end(row: pd.Series, reports: dict[str, KeptReport]) -> None:
    """Show the next step, what the checks had found, and a button that submits it again."""
    reason = row["failed_reason"]
    if pd.isna(reason) or not reason.strip():
        st.error("The API gives no reason.", icon=":material/error:")
    step = next_step(row["status"], None if pd.isna(reason) else reason)
    st.markdown(f"**Next step:** {step}")
    if st.button(
        "Submit again",
        key=f"details_submit_{row['persona_id']}",
        icon=":material/replay:",
        help="Fills the form with what was sent; nothing is sent before you have looked at it.",
    ):
        resubmit.submit_again([row["persona_id"]])
    if reports:
        st.subheader("Checks of the videos", anchor=False)
        _checks(reports, expanded=True)


def _checks(reports: dict[str, KeptReport], *, expanded: bool = False) -> None:
    for field, report in reports.items():
        if len(reports) > 1:
            st.markdown(f"**{VIDEOS[field]}**")
        video_report.show(report, expanded=expanded)


@st.fragment(run_every=60)
def _moments(session: Session, persona_id: str) -> None:
    """Show when it is expected, and was and will be polled; relative words renew by themselves."""
    now, estimates = session.clock.now(), running.get().estimates
    arrivals = estimates.arrivals(estimates.log())
    if arrivals is not None:
        for _, arrival in arrivals.loc[arrivals["persona_id"] == persona_id].iterrows():
            if arrival["late"]:
                st.warning(
                    f"Late: it has been in {plain(stage_name(arrival['stage']))} for at least "
                    f"{format_hours(arrival['in_stage_h'])}, longer than 95 % of all.",
                    icon=":material/schedule:",
                )
            st.markdown(_expected(arrival, now))
    for _, row in session.store.personas(persona_id).iterrows():
        begun = row["created_at"] if pd.isna(row["submitted_at"]) else row["submitted_at"]
        parts = [] if pd.isna(begun) else [f"Submitted {moments.full(begun, now)}."]
        parts.append(f"Last answer {moments.distance(row['last_seen_at'], now)}")
        next_at = row["next_look_at"]
        if pd.isna(next_at) or row["gone"]:
            parts[-1] += "."
        else:
            soon = "is due" if next_at <= now else moments.distance(next_at, now)
            parts[-1] += f", next poll {soon}."
        st.caption(" ".join(parts))


def _expected(arrival: pd.Series, now: datetime) -> str:
    """Return as text when a persona is ready, the chance of done, and the basis."""
    n, basis, chance = arrival["n"], arrival["basis"], arrival["chance_done"]
    if basis != eta.CLAIM:
        basis += " (1 finished avatar)" if n == 1 else f" ({n:,} finished avatars)"
    done = "" if pd.isna(chance) else f" Chance of done: **{chance:.0%}**."
    p10, p90 = (arrival[name].astimezone(moments.zone()) for name in ("p10_at", "p90_at"))
    interval, zone = tables.ready(p10, p90, now), moments.zone_name(p90)
    if tables.already(p10, now):
        ready = f"It **{interval}** ({zone}) in 9 of 10 cases"
    else:
        ready = f"Ready **{interval}** ({zone}) in 8 of 10 cases"
    median = moments.full(arrival["p50_at"], now)
    return f"{ready}, in 5 of 10 by {median}.{done} Basis: {plain(basis)}."


def _history(session: Session, persona_id: str) -> None:
    estimates = running.get().estimates
    log = estimates.log()
    visits = log.visits.loc[log.visits["persona_id"] == persona_id].reset_index(drop=True)
    lives = log.lives.loc[log.lives["persona_id"] == persona_id]
    zone = moments.zone()
    charts_cache.draw(
        "details_timeline", charts.timeline, visits, now=log.now, lives=lives, zone=zone
    )
    runs = session.store.sightings(persona_id)
    count = len(runs)
    label = "Every sighting: 1 status" if count == 1 else f"Every sighting: {count} statuses"
    with st.expander(label, key=f"details_runs_{persona_id}"):
        seen = pd.DataFrame(
            {
                "status": runs["status"].map(stage_name),
                "from": runs["first_seen_at"],
                # When it was asked for, which is before the answer in a run that was seen once.
                "to": runs[["first_seen_at", "last_seen_at"]].max(axis=1),
                "times_seen": runs["times_seen"],
                "source": runs["source"].map(SOURCES).fillna(runs["source"]),
            }
        )
        name = moments.zone_name(log.now)
        columns = {
            "status": TextColumn("Status", pinned=True),
            "from": _moment_column(f"Seen from ({name})"),
            "to": _moment_column(f"to ({name})"),
            "times_seen": NumberColumn("Answers"),
            "source": TextColumn("First by"),
        }
        st.dataframe(seen, hide_index=True, key="details_runs", column_config=columns)


def _moment_column(label: str) -> ColumnConfig:
    zone = str(moments.zone())
    return DatetimeColumn(label, format="D MMM YYYY, HH:mm:ss", timezone=zone)


def _sent(submissions: pd.DataFrame, reports: dict[str, KeptReport]) -> None:
    st.subheader("What was sent", anchor=False)
    if submissions.empty:
        st.caption("It was not submitted here, so only the API knows.")
        return
    lines = []
    for field, title in SENT.items():
        value = submissions.iloc[0][field]
        if field == "labels":
            value = ", ".join(value)
        if pd.isna(value) or not value:
            continue
        if field in VIDEO_FIELDS and not is_url(value):
            value = _file(value, reports.get(field))
        lines.append(f"- {title}: {plain(value)}")
    st.markdown("\n".join(lines))


def _file(path: str, report: KeptReport | None) -> str:
    """Return the name of a file that was sent, with its size if that is known."""
    size = None if report is None else report.size
    return Path(path).name if size is None else f"{Path(path).name}, {size / 1e6:,.1f} MB"


def _preview(row: pd.Series) -> None:
    """Offer the previews; they lie elsewhere, so nothing is loaded unasked."""
    urls = {name: row[name] for name in ("preview_image", "preview_video") if _host(row[name])}
    if not urls:
        return
    st.subheader("Preview", anchor=False)
    hosts = ", ".join(dict.fromkeys(map(_host, urls.values())))
    kinds = " and ".join("picture" if name == "preview_image" else "video" for name in urls)
    label = f"Load the {kinds} from {plain(hosts)}"
    if st.toggle(label, key=f"details_preview_{row['persona_id']}"):
        if "preview_image" in urls:
            st.image(urls["preview_image"], alt="Preview of the avatar")
        if "preview_video" in urls:
            st.video(urls["preview_video"])


def _host(url: object) -> str:
    """Return the host of an http(s) URL, empty for anything else."""
    if not (isinstance(url, str) and is_url(url)):
        return ""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _answers(session: Session, persona_id: str) -> None:
    with st.expander("What the API said: the newest value of each field", key="details_answers"):
        persona = session.store.persona(persona_id)
        if persona is None:
            return
        if persona.odd_fields:
            names = ", ".join(persona.odd_fields)
            st.caption(f"Not of the documented type, kept as it came: {plain(names)}.")
        # As text: in Streamlit's own view of JSON addresses are links.
        answer = json.dumps(persona.answer(), indent=2, ensure_ascii=False)
        st.code(hide_webhook_token(answer), language="json", wrap_lines=True, height=400)
