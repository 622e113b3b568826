"""Forget a person: erase what is kept of them here, and say what is not ours to erase.

Files and backups go first and the rows last, in one transaction: if anything fails on the way the
rows still tell what is left, and the same call goes on where it ended.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from avatarkit.clock import Clock
from avatarkit.errors import APIError, ConfigError, StoreError
from avatarkit.store.person import Person
from avatarkit.store.store import Store
from avatarkit.tracking import personal_files
from avatarkit.tracking.personal_files import PersonalFiles


@dataclass(frozen=True)
class Forgotten:
    """What was erased of a person, or would be (``dry_run``), and what was not.

    Attributes:
        who: The name or the id that was asked for.
        dry_run: Whether nothing was erased.
        names: The person's name, as it was sent each time.
        persona_ids: The avatars that are erased here.
        deleted: Those that are deleted at the API as well.
        rows: The number of rows that are erased, by table.
        files: The files that are erased in the data folder.
        backups: The backups in which the rows are erased.
        failed: A sentence about each thing that is still here; forget the person again.
        not_ours: A sentence about each thing that is not ours to erase.
    """

    who: str
    dry_run: bool = False
    names: tuple[str, ...] = ()
    persona_ids: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    backups: tuple[Path, ...] = ()
    failed: tuple[str, ...] = ()
    not_ours: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the whole as lines of text."""
        counts = [f"{table} {count}" for table, count in sorted(self.rows.items()) if count]
        verb = "Would be erased" if self.dry_run else "Erased"
        name = ", ".join(self.names) or self.who
        at_api = "Would be deleted" if self.dry_run else "Deleted"
        return [
            f"{verb} of {name}: rows in {', '.join(counts) or 'no table'}.",
            *(f"  avatar {persona_id}" for persona_id in self.persona_ids),
            *(f"  file {path}" for path in self.files),
            *(f"  in the backup {path}" for path in self.backups),
            *(f"{at_api} at the API: {persona_id}" for persona_id in self.deleted),
            *(f"Not erased: {sentence}" for sentence in self.failed),
            *(f"Not ours to erase: {sentence}" for sentence in self.not_ours),
        ]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def forget(
    store: Store,
    clock: Clock,
    who: str,
    *,
    delete: Callable[[str], object] | None,
    data_folder: Path | None,
    dry_run: bool,
) -> Forgotten:
    """Erase a person; see ``Tracker.forget``.

    Args:
        store: The log.
        clock: The session's clock.
        who: A ``creator_name`` or the id of an avatar.
        delete: Deletes an avatar at the API; None: none is.
        data_folder: Where uploads and drafts are kept.
        dry_run: Erase nothing.
    """
    store.settle_abandoned(clock.now())
    if not dry_run:
        store.overwrite_erased()  # what a call before this one left
    person = store.find_person(who)
    files = personal_files.find(data_folder, person)
    if not person and not files.own and not files.sheets:
        raise ConfigError(_not_found(store, who))
    _require_settled(person)
    plan = Forgotten(
        who=who,
        dry_run=dry_run,
        names=person.names,
        persona_ids=tuple(sorted(person.persona_ids)),
        deleted=tuple(sorted(person.persona_ids)) if delete is not None else (),
        rows=store.count_rows(person),
        files=(*files.own, *files.sheets),
        backups=tuple(store.backup_files()),
        not_ours=(
            *_not_ours(store, person, files, at_api=delete is not None),
            *_other_modes(data_folder),
        ),
    )
    return plan if dry_run else _erase(store, plan, delete, data_folder)


def _erase(
    store: Store, plan: Forgotten, delete: Callable[[str], object] | None, data_folder: Path | None
) -> Forgotten:
    deleted, kept, failed = _delete(plan.persona_ids, delete)
    person = store.find_person(plan.who, without=kept)
    found = personal_files.find(data_folder, person)
    files, not_deleted = personal_files.erase(found.own)
    sheets, not_emptied = personal_files.erase_rows(found.sheets, person.who)
    files, not_deleted = [*files, *sheets], [*not_deleted, *not_emptied]
    backups, not_changed = _erase_in_backups(store, person, kept, done=set())
    report = replace(
        plan,
        persona_ids=tuple(sorted(person.persona_ids)),
        deleted=tuple(deleted),
        files=tuple(files),
        backups=tuple(backups),
    )
    if not_deleted or not_changed:
        remaining = "The rows are kept until the rest is erased; do it again then."
        failed = [*failed, *not_deleted, *not_changed, remaining]
        return replace(report, persona_ids=(), rows={}, failed=tuple(failed))
    with store.transaction():
        store.refuse_waiting_of(store.find_person(plan.who, without=kept))
        person = store.find_person(plan.who, without=kept)
        _require_settled(person)
        rows = store.erase_person(person)
    try:
        store.overwrite_erased()
    except StoreError as error:
        failed = [*failed, str(error)]
    # One that was made meanwhile, or is being made of what was there before.
    store.delete_partial_backups()
    newer, not_changed = _erase_in_backups(store, person, kept, done=set(backups))
    return replace(
        report,
        rows=rows,
        backups=tuple(sorted({*backups, *newer})),
        failed=(*failed, *not_changed),
    )


def _delete(
    persona_ids: tuple[str, ...], delete: Callable[[str], object] | None
) -> tuple[list[str], set[str], list[str]]:
    """Delete avatars at the API; return those deleted, those not, and why."""
    deleted: list[str] = []
    failed: dict[str, str] = {}
    if delete is None:
        return [], set(), []
    for persona_id in persona_ids:
        try:
            delete(persona_id)
        except (APIError, ConfigError, StoreError) as error:  # another process may forget it, too
            failed[persona_id] = f"avatar {persona_id}: {error}"
        else:
            deleted.append(persona_id)
    return deleted, set(failed), list(failed.values())


def _erase_in_backups(
    store: Store, person: Person, kept: set[str], *, done: set[Path]
) -> tuple[list[Path], list[str]]:
    erased: list[Path] = []
    failed: list[str] = []
    for path in store.backup_files():
        if path not in done:
            try:
                store.erase_in_backup(path, person, without=kept)
                erased.append(path)
            except StoreError as error:
                failed.append(str(error))
    return erased, failed


def _require_settled(person: Person) -> None:
    if person.in_flight:
        raise ConfigError(
            f"A create of {person.who} is being sent or its fate is not known "
            f"({', '.join(person.in_flight)}); an avatar may still come of it, and the rows are "
            "kept. Settle it with 'reconcile', and forget the person then."
        )


def _not_found(store: Store, who: str) -> str:
    names = store.all_names()
    near = {name for name in names if name.strip().casefold() == who.strip().casefold()}
    near.update(difflib.get_close_matches(who, names, n=5))
    hint = f" Did you mean {', '.join(sorted(near))}?" if near else ""
    return f"Nothing is kept here of {who}; give a creator_name exactly, or an avatar's id.{hint}"


def _not_ours(store: Store, person: Person, files: PersonalFiles, *, at_api: bool) -> list[str]:
    """Return a sentence about each thing that stays."""
    stays = [f"{file}, which a create named" for file in files.elsewhere]
    stays += [f"{path}, which another form or create names, too" for path in files.shared]
    stays += [f"{path}, the journal of a replaced database" for path in store.replaced_journals()]
    if person.persona_ids - store.deleted_ids() and not at_api:
        stays.append("the API's own copies of the avatars, unless they are deleted there, too")
    own = {name.strip() for name in person.names} | {person.who.strip()}
    folded = {name.casefold() for name in own}
    similar = sorted(name for name in store.all_names() if name.strip().casefold() in folded)
    if names := [name for name in similar if name.strip() not in own]:
        stays.append(f"what belongs to {', '.join(names)}, which may be the same person")
    if person.who in person.persona_ids and (count := _others_of_name(store, person)):
        stays.append(f"other avatars and creates of {', '.join(person.names)} ({count})")
    if count := store.in_other_accounts(person):
        stays.append(f"avatars of this name in other accounts of this database ({count})")
    stays.append("exports, notebooks and copies of the database that were made before")
    stays.append("log files, and what a running app has in memory until it is started again")
    if not store.url.startswith("sqlite"):
        stays.append("the journal and the backups of the PostgreSQL server")
    return stays


def _other_modes(data_folder: Path | None) -> list[str]:
    """Return a sentence about the data of the sandbox beside the live account's, or vice versa."""
    names = {"sandbox": "live", "live": "sandbox"}
    if data_folder is None or data_folder.name not in names:
        return []
    other = data_folder.with_name(names[data_folder.name])
    if not other.is_dir():
        return []
    way = "without keys" if other.name == "sandbox" else "with its keys"
    return [f"{other}, where the {other.name} data lie; forget the person there, too, {way}"]


def _others_of_name(store: Store, person: Person) -> int:
    count = 0
    for name in person.names:
        same = store.find_person(name)
        count += len(same.persona_ids - person.persona_ids)
        count += len(same.submission_ids - person.submission_ids)
    return count
