"""Define the commands; they open the same session as the app and the notebooks."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avatarkit import __version__
from avatarkit.cli import accounts, doctor, erase, notify
from avatarkit.cli.console import echo as _print
from avatarkit.cli.console import open_cli_session as _session
from avatarkit.cli.exit_codes import Exit, exit_on_error, exit_with
from avatarkit.cli.submit_many import submit_many
from avatarkit.errors import AvatarkitError
from avatarkit.models import Gender, Persona, PersonaCreate

if TYPE_CHECKING:
    import pandas as pd

    from avatarkit.tracking.tracker import Change, Tracker

app = typer.Typer(
    name="avatarkit",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(
        "Submit custom avatars and follow them for days. Without API keys "
        "(AVATARKIT_API_ID, AVATARKIT_API_KEY) everything happens in a sandbox on this machine."
    ),
    epilog=(
        "Exit codes: 0 fine, 1 error, 2 wrong usage, 3 failed or rejected, 4 timed out, "
        "5 a create whose fate is uncertain."
    ),
)

STATUS_DEADLINE_S = 5.0
"""Wall seconds in which the API has to answer ``status``."""


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"avatarkit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version, and end."
        ),
    ] = False,
) -> None:
    pass


class Table(StrEnum):
    """A table that can be exported."""

    STATUSES = "statuses"
    STAGE_TIMES = "stage-times"
    PERCENTILES = "percentiles"
    ARRIVALS = "arrivals"
    SIGHTINGS = "sightings"
    SUBMISSIONS = "submissions"


@app.command()
def submit(
    creator_name: Annotated[
        str, typer.Argument(help="Name of the person, at most 255 characters.")
    ],
    gender: Annotated[Gender, typer.Option(help="m male, f female, nb non-binary.")],
    lipsync_input: Annotated[
        str | None, typer.Option(help="The footage: path of a video file, or its public URL.")
    ] = None,
    consent_video: Annotated[
        str | None, typer.Option(help="The recorded consent: path of a file, or its public URL.")
    ] = None,
    gdown_url: Annotated[
        str | None, typer.Option(help="A Google Drive link, in place of --lipsync-input.")
    ] = None,
    video_scene: Annotated[str | None, typer.Option(help="A word for the background.")] = None,
    keywords: Annotated[str | None, typer.Option(help="Keywords, comma separated.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="A label; may be repeated.")] = None,
    webhook_url: Annotated[
        str | None, typer.Option(help="Called when the avatar is ready.")
    ] = None,
    extra: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Another field of the API; may be repeated."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Send without footage, or although a video looks bad.")
    ] = False,
    wait: Annotated[
        float, typer.Option(help="Wait up to this many seconds until it is ready.")
    ] = 0,
) -> None:
    """Submit one avatar, and print its id."""
    with exit_on_error():
        request = PersonaCreate(
            creator_name=creator_name,
            gender=gender,
            lipsync_input=lipsync_input,
            consent_video=consent_video,
            video_scene=video_scene,
            keywords=keywords,
            labels=label or [],
            webhook_url=webhook_url,
            gdown_url=gdown_url,
            extra=_extra(extra or []),
        )
        _check(request, force=force)
    with _session() as session:
        try:
            persona = _submit(session.tracker, request)
        except KeyboardInterrupt:
            store = session.store
            # One that is still "sending" could not be written down as uncertain.
            if not (store.open_submissions() or store.open_submissions("sending")):
                raise AvatarkitError("Interrupted before it was sent; send it again.") from None
            exit_with(
                "Interrupted while it was sent: it is not known whether it was created. Do not "
                "send it again; 'python -m avatarkit reconcile' finds out.",
                Exit.UNCERTAIN,
            )
        _print(persona.id)
        if wait > 0:
            session.tracker.wait(persona.id, timeout=wait, on_progress=_print_status)


app.command()(submit_many)


@app.command()
def track(
    once: Annotated[
        bool, typer.Option("--once", help="Poll what is due, then end (for cron).")
    ] = False,
    until_done: Annotated[
        bool, typer.Option("--until-done", help="End when no avatar is left to poll.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object a line, errors too.")
    ] = False,
    log_file: Annotated[
        str | None, typer.Option(help="Write what happens to this file, too; it is rotated.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error; info by default.")
    ] = None,
) -> None:
    """Follow every avatar to its end.

    Prints each change of status, and what went wrong in a poll; in a terminal the state of the
    tracker is shown below. Ctrl-C ends it. Creates whose answer was lost are settled from the
    account's list, as by 'reconcile'. While another tracker of this database follows the account,
    it makes no calls, prints what that one finds, and takes over when that one ends.
    """
    from avatarkit.cli.log_file import log_to_file
    from avatarkit.cli.track_output import JSONLines, Lines, LiveLines
    from avatarkit.tracking.lease import tracker_name

    options = {"log_file": log_file, "log_level": log_level}
    given = {name: value for name, value in options.items() if value is not None}
    with _session(**given) as session:
        settings, tracker, clock = session.settings, session.tracker, session.clock
        if session.sandbox is None:
            _print(settings.found, err=True)
        tracker.lease.name = tracker_name("track")
        _print(f"Tracking the {tracker.account_name}.", err=True)
        accounts.print_other_accounts(session, err=True)
        output = Lines()
        if as_json:
            output = JSONLines(clock)
        elif sys.stdout.isatty() and not once:
            output = LiveLines(tracker.state, clock)
        print_error = partial(_print, err=True)
        log = log_to_file(settings.log_file, settings.log_level, clock, on_error=print_error)
        with suppress(KeyboardInterrupt), log, output:
            tracker.run(
                threading.Event(),
                on_change=output.change,
                on_error=output.error,
                on_notice=output.notice,
                once=once,
                until_done=until_done,
            )
        if once and output.errors:
            raise typer.Exit(Exit.ERROR)


@app.command()
def poll(
    persona_id: Annotated[str, typer.Argument(help="The avatar to poll.")],
) -> None:
    """Poll one avatar now.

    Also one that is gone or has ended, and also while the API has asked to wait.
    """
    with _session() as session:
        change = session.tracker.poll(persona_id)
        if change is not None:
            _print_change(change)
        else:
            persona = session.store.persona(persona_id)
            _print(f"{persona_id}  {persona.status_text if persona else ''}, as before")


@app.command()
def reconcile(
    submission_id: Annotated[
        str | None, typer.Argument(help="The submission to settle yourself.")
    ] = None,
    became: Annotated[str | None, typer.Option(help="It became the avatar of this id.")] = None,
    never_arrived: Annotated[
        bool, typer.Option("--never-arrived", help="It was not created.")
    ] = False,
) -> None:
    """Settle creates whose answer was lost.

    Looks for them in the account's list, or settles one as you say. Nothing is sent again.
    """
    with _session() as session:
        tracker = session.tracker
        if submission_id is None and (became is not None or never_arrived):
            raise typer.BadParameter("say which submission; 'reconcile' alone lists them.")
        if submission_id is not None:
            if (became is None) != never_arrived:
                raise AvatarkitError("Say either --became ID or --never-arrived.")
            tracker.settle(submission_id, became)
            return
        for verdict in tracker.reconcile():
            outcome = verdict.persona.id if verdict.persona else verdict.reason
            _print(f"{verdict.submission_id}  {verdict.state}  {outcome}")
            for candidate in verdict.candidates:
                _print(f"    may be {candidate.id}, created {candidate.created_at}")
        if session.store.open_submissions():
            raise typer.Exit(Exit.UNCERTAIN)


@app.command()
def status(
    persona_id: Annotated[
        str | None, typer.Argument(help="Only this avatar, with its history.")
    ] = None,
) -> None:
    """Print where every avatar stands.

    As it was last seen; the API is only asked whether it takes the keys, and not while its calls
    are paused. "ready" is the range in which 8 of 10 end, by what earlier avatars took, or by the
    vendor's claim while there are none.
    """
    from avatarkit.estimates import eta
    from avatarkit.reports import tables
    from avatarkit.tracking.state import unknown_sentence

    with _session() as session:
        now = session.clock.now()
        persona = None if persona_id is None else session.store.persona(persona_id)
        if persona_id is not None and persona is None:
            raise AvatarkitError(
                f"The log has no avatar {persona_id}; check the id with 'status' alone."
            )
        _print(f"{session.tracker.account_name}, {now:%Y-%m-%d %H:%M} UTC on its clock")
        if session.sandbox is None:
            _print(session.settings.found)
        if session.tracker.pause is None:
            session.tracker.ask_quota(deadline_s=STATUS_DEADLINE_S)
        if session.tracker.access.error is None and session.tracker.pause is None:
            for sentence in session.tracker.carry_over(deadline_s=STATUS_DEADLINE_S):
                _print(sentence)
        has_others = accounts.print_other_accounts(session)
        if session.tracker.unknown_count:
            _print(unknown_sentence(session.tracker.unknown_count))
        if session.tracker.clock_offset is not None:
            _print(str(session.tracker.clock_offset), err=True)
        if session.tracker.access.error is not None:
            _print(str(session.tracker.access.error), err=True)
        elif session.tracker.pause is not None:
            _print(session.tracker.pause.reason)
        if persona_id is None:
            personas, sightings = session.store.personas(), session.store.sightings()
            arrivals = eta.arrivals(sightings, now=now, personas=personas)
            if not (has_others and personas.empty):
                _print(tables.statuses(personas, sightings, now, arrivals))
            for missing_id in personas.query("footage_missing == True")["persona_id"]:
                _print(f"{missing_id}: {session.store.footage_note(missing_id)}")
            for submission in session.store.open_submissions():
                _print(
                    f"uncertain: {submission.submission_id}, sent as {submission.creator_name}; "
                    "'reconcile' finds out what became of it."
                )
            for batch in session.store.batches():
                if batch.waiting:
                    _print(
                        f"waiting: {batch.waiting} of {sum(batch.counts.values())} rows of a batch "
                        f"of {batch.prepared_at:%Y-%m-%d %H:%M} UTC; the same command sends them."
                    )
        else:
            _print(tables.history(session.store.sightings(persona_id)))
            if persona is not None and persona.odd_fields:
                names = ", ".join(persona.odd_fields)
                _print(f"not of the documented type, kept as they came: {names}")
            if note := session.store.footage_note(persona_id):
                _print(note)
            if persona_id in session.store.deleted_ids():
                _print("It was deleted here, and is not polled; its history is kept.")


@app.command("export")
def export_table(
    table: Annotated[Table, typer.Argument(help="What to export.")] = Table.STATUSES,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; without it, standard output.")
    ] = None,
    for_spreadsheets: Annotated[
        bool,
        typer.Option(
            "--for-spreadsheets",
            help="With moments as spreadsheets read them, and each avatar's name and end.",
        ),
    ] = False,
) -> None:
    """Write a table as CSV."""
    from avatarkit.estimates import durations, eta
    from avatarkit.history import stages
    from avatarkit.reports import export

    with _session() as session:
        store, now = session.store, session.clock.now()

        def visits() -> pd.DataFrame:
            return stages.visits(store.sightings(), now=now, personas=store.personas())

        frames: dict[Table, Callable[[], pd.DataFrame]] = {
            Table.STATUSES: store.personas,
            Table.SIGHTINGS: store.sightings,
            Table.SUBMISSIONS: store.submissions,
            Table.STAGE_TIMES: visits,
            Table.PERCENTILES: lambda: durations.summarize(visits(), interval=True),
            Table.ARRIVALS: lambda: eta.arrivals(
                store.sightings(), now=now, personas=store.personas()
            ),
        }
        frame = frames[table]()
        if for_spreadsheets:
            frame = export.add_personas(frame, store.personas(), store.sightings(), now=now)
        if output is not None:
            export.to_csv(frame, output, for_spreadsheets=for_spreadsheets)
            _print(f"{len(frame)} rows written to {output}.", err=True)
            return
        text = export.to_csv(frame, for_spreadsheets=for_spreadsheets)
        if sys.stdout.isatty():
            typer.echo(text.removeprefix(export.BYTE_ORDER_MARK), nl=False)
        else:
            # A file or a pipe gets the bytes that -o would write, whatever the console's encoding.
            typer.echo(text.encode(), nl=False)


@app.command()
def backup(
    path: Annotated[
        Path | None, typer.Argument(help="A new file; by default one in the folder of backups.")
    ] = None,
) -> None:
    """Copy the database now, and print where; it may be in use."""
    from avatarkit.clock import SystemClock
    from avatarkit.settings import Settings
    from avatarkit.store.store import Store

    with exit_on_error():
        settings = Settings()
        if settings.database_url is None and not (settings.folder / "avatarkit.db").exists():
            raise AvatarkitError(f"There is no database in {settings.folder} to back up.")
        with Store(settings.store_url, backups=settings.backups) as store:
            _print(store.back_up(SystemClock().now(), path))


@app.command()
def sandbox(
    folder: Annotated[
        Path | None, typer.Option(help="Where it keeps its data; without it, nothing is kept.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8765,
    speed: Annotated[
        float,
        typer.Option(
            max=1_000_000,
            envvar="AVATARKIT_SANDBOX_SPEED",
            help="Its seconds for each of yours.",
        ),
    ] = 2400.0,
    plan: Annotated[
        int,
        typer.Option(
            min=0, envvar="AVATARKIT_SANDBOX_PLAN", help="Custom avatars that the plan allows."
        ),
    ] = 100,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:SHARE[:METHOD]]",
            help="Make calls fail: 429:0.1 one in ten; may be repeated.",
        ),
    ] = None,
    behaviour: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Set what is not known of the API, such as quota_status=402; may be repeated.",
        ),
    ] = None,
) -> None:
    """Serve the sandbox of the API alone.

    For tests and other programs; Ctrl-C ends it.
    """
    with exit_on_error():
        from avatarkit.sandbox import Sandbox
        from avatarkit.sandbox.behaviour import parse_behaviour
        from avatarkit.sandbox.faults.rules import parse_fault

        if speed <= 0:
            raise AvatarkitError("speed must be positive; 1 is as fast as the wall.")
        settings = parse_behaviour(behaviour or [])
        served = Sandbox(folder, speed=speed, port=port, max_personas=plan, behaviour=settings)
        for text in fault or []:
            served.fail_share(**parse_fault(text))
        with served:
            typer.echo(f"AVATARKIT_BASE_URL={served.url}")
            typer.echo(f"AVATARKIT_API_ID={served.api_id}")
            # The sandbox's own key opens nothing but the sandbox on this machine.
            typer.echo(f"AVATARKIT_API_KEY={served.api_key}")
            typer.echo(f"A day passes in {86_400 / speed:.0f} s. Ctrl-C ends it.", err=True)
            with suppress(KeyboardInterrupt):
                threading.Event().wait()


app.command()(accounts.adopt)
app.command()(accounts.follow)
app.command()(accounts.unfollow)
app.command()(doctor.doctor)
app.command()(erase.delete)
app.command()(erase.forget)
app.command()(notify.notify)


def _submit(tracker: Tracker, request: PersonaCreate) -> Persona:
    size = sum(path.stat().st_size for path in request.files.values())
    if not size:
        return tracker.submit(request)
    with typer.progressbar(length=size, label="Sending", file=sys.stderr) as bar:
        return tracker.submit(request, progress=lambda sent, _: bar.update(sent - bar.pos))


def _print_change(change: Change) -> None:
    from avatarkit.tracking.state import format_change

    _print(format_change(change))


def _extra(given: list[str]) -> dict[str, str | list[str]]:
    values: dict[str, list[str]] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator:
            raise typer.BadParameter(f"{text!r} has no value; write --extra NAME=VALUE.")
        values.setdefault(name.strip(), []).append(value)
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}


def _check(request: PersonaCreate, *, force: bool) -> None:
    from avatarkit import preflight
    from avatarkit.settings import Settings, is_loopback

    settings, unusable = Settings(), []
    live = not (settings.is_sandbox or is_loopback(settings.base_url))
    for finding in preflight.check_request(request, live=live):
        _print(f"{finding.severity}: {finding.message}", err=True)
        if finding.severity is preflight.Severity.FATAL:
            unusable.append("add the footage")
    for field, path in request.files.items():
        report = preflight.check_field(path, field)
        for finding in (*report.fatal, *report.warnings):
            _print(f"{field}: {finding.severity}: {finding.message}", err=True)
        if report.fatal:
            unusable.append(f"mend {path}")
    if unusable and not force:
        raise AvatarkitError(
            f"Nothing was sent; {' and '.join(unusable)}, or send it with --force."
        )


def _print_status(persona: Persona) -> None:
    _print(f"{persona.id}: {persona.status_text}", err=True)


def main(prog_name: str = "avatarkit") -> None:
    """Run the command line; letters that the console does not have are printed as ``?``.

    Args:
        prog_name: How the command was called, for its help.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    app(prog_name=prog_name)
