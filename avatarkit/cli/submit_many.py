"""The command that submits the rows of a sheet."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avatarkit.cli.console import echo, open_cli_session
from avatarkit.cli.exit_codes import Exit, exit_on_error, exit_with
from avatarkit.errors import ConfigError

if TYPE_CHECKING:
    from avatarkit.session import Session
    from avatarkit.store.batches import SubmitResult
    from avatarkit.tracking.sheet import Row


def submit_many(
    sheet: Annotated[
        Path | None, typer.Argument(metavar="SHEET", help="A CSV file; - is standard input.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where the videos are; by default beside the sheet.")
    ] = None,
    twins: Annotated[
        bool, typer.Option("--twins", help="Send rows whose name is there already, too.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Send the rows that are fine, without the others.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the rows; send none.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file for the results, or the template.")
    ] = None,
    template: Annotated[
        bool, typer.Option("--template", help="Print an example of a sheet, and nothing else.")
    ] = False,
) -> None:
    """Submit an avatar for each row of a sheet, and print what became of each as CSV.

    Every row and every video is checked first; if one cannot be sent, none is. Two are sent at a
    time. The same command again goes on where it was stopped or killed: no row is sent twice. When
    the plan is full the rest waits for that. Ctrl-C stops after the uploads in progress; a second
    one cancels these.
    """
    from avatarkit.tracking import sheet as sheets
    from avatarkit.tracking.batch import BatchInterrupted

    if template:
        with exit_on_error():
            _write(sheets.template(), output)
        return
    if sheet is None:
        raise typer.BadParameter("name the sheet, or write an example with --template.")
    with exit_on_error():
        _check_output(output, sheet)
    with open_cli_session() as session:
        rows = _check(session, _read(sheet), folder or sheet.parent)
        chosen = [row for row in rows if row.request and (twins or not row.twin)]
        left_out = len(rows) - len(chosen)
        if left_out and not (skip_bad and chosen):
            ways = "correct the sheet"
            ways += ", or leave them out with --skip-bad" if chosen else ""
            if not twins and any(row.twin for row in rows):
                ways += ", or send twins with --twins"
            problem = f"{left_out} of {len(rows)} rows cannot be sent as they are"
            exit_with(f"Nothing was sent, as {problem}: {ways}.", Exit.USAGE)
        if dry_run:
            echo(f"{len(chosen)} of {len(rows)} rows can be sent.", err=True)
            return
        try:
            results = session.tracker.submit_many(
                [row.request for row in chosen if row.request], on_progress=_print_progress
            )
        except BatchInterrupted as interrupted:
            echo(interrupted, err=True)
            results = interrupted.results
        _write(_to_csv(rows, chosen, results), output)
        _exit(results)


def _read(sheet: Path) -> list[dict[str, str]]:
    from avatarkit.tracking import sheet as sheets

    try:
        data = sys.stdin.buffer.read() if str(sheet) == "-" else sheet.read_bytes()
    except OSError as error:
        raise ConfigError(f"The sheet {sheet} cannot be read: {error.strerror}.") from None
    return sheets.read(data)


def _check(session: Session, rows: Sequence[dict[str, str]], folder: Path) -> list[Row]:
    """Check all rows, and print what is found."""
    from avatarkit.settings import is_loopback
    from avatarkit.tracking import sheet as sheets

    settings = session.settings
    with typer.progressbar(length=100, label="Checking", file=sys.stderr) as bar:
        checked = sheets.check(
            rows,
            folder=folder,
            store=session.store,
            live=not (settings.is_sandbox or is_loopback(settings.base_url)),
            on_checked=lambda done, total: bar.update(100 * done // total - bar.pos),
        )
    for row in checked:
        name = f"row {row.number}, {row.name}" if row.name else f"row {row.number}"
        for sentence in row.faults:
            echo(f"{name}: bad: {sentence}", err=True)
        if row.twin is not None:
            echo(f"{name}: twin: {row.twin}", err=True)
        for sentence in row.warnings:
            echo(f"{name}: warning: {sentence}", err=True)
        if row.sent_as is not None:
            echo(f"{name}: was sent before, as {row.sent_as}.", err=True)
    return checked


def _print_progress(result: SubmitResult, sent: int, total: int) -> None:
    if result.state == "sending" and sent:
        return  # a line for each change of state is enough
    details = result.persona_id or result.error or (f"{total / 1e6:,.1f} MB" if total else "")
    echo(f"{result.creator_name}: {result.state}  {details}".rstrip(), err=True)


def _to_csv(rows: Sequence[Row], chosen: Sequence[Row], results: Sequence[SubmitResult]) -> str:
    """Return a row for each of the sheet, with those that were not sent and why."""
    from dataclasses import replace

    from avatarkit.reports import export
    from avatarkit.store.batches import SubmitResult, to_frame

    by_number = {
        chosen[result.number - 1].number: replace(result, number=chosen[result.number - 1].number)
        for result in results
    }
    shown = []
    for row in rows:
        why = " ".join((*row.faults, row.twin or "")).strip()
        unsent = SubmitResult(row.number, "", row.name, "not sent", None, why)
        shown.append(by_number.get(row.number, unsent))
    return export.to_csv(to_frame(shown))


def _check_output(output: Path | None, sheet: Path) -> None:
    """Refuse a file for the results that cannot be written, before anything is sent."""
    if output is None:
        return
    if output.is_dir() or not os.access(output.parent, os.W_OK):
        raise ConfigError(f"{output} cannot be written; give a file in a folder that there is.")
    if output.exists() and sheet.exists() and output.samefile(sheet):
        raise ConfigError(f"{output} is the sheet itself; give another file for the results.")


def _write(text: str, output: Path | None) -> None:
    from avatarkit.files import replace_file

    if output is None:
        typer.echo(text.encode(), nl=False)
        return
    try:
        replace_file(output, text.encode())
    except OSError as error:
        raise ConfigError(f"{output} cannot be written: {error.strerror}.") from None
    echo(f"Written to {output}.", err=True)


def _exit(results: Sequence[SubmitResult]) -> None:
    """Print how many rows are in each state, and why the rest waits; exit with what fits."""
    counts = Counter(result.state for result in results)
    shown = {"accepted": "accepted", "prepared": "waiting", "sending": "being sent"}
    shown |= {"refused": "refused", "uncertain": "uncertain"}
    parts = [f"{counts[state]} {name}" for state, name in shown.items() if counts[state]]
    echo(f"{len(results)} rows: {', '.join(parts) or 'none sent'}.", err=True)
    reasons = {result.error for result in results if result.state == "prepared"}
    for reason in sorted(filter(None, reasons)):
        echo(f"The rest waits; the same command sends it: {reason}", err=True)
    if counts["uncertain"]:
        echo("'python -m avatarkit reconcile' finds out what became of the uncertain.", err=True)
        raise typer.Exit(Exit.UNCERTAIN)
    if counts["accepted"] < len(results):
        raise typer.Exit(Exit.ERROR)
