"""Processes are told apart, also those of containers and machines that share a name."""

from __future__ import annotations

import pytest

from avatarkit.store import process as store_process
from avatarkit.store.process import is_alive, this_process

BOOT, CONTAINER = "one-boot", "pid:[1]"


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, str]:
    """The host, the id and the start of this process, in a container of one boot."""
    monkeypatch.setattr(store_process, "_place", lambda: [BOOT, CONTAINER])
    host, pid, start = this_process().split("|")
    return host, pid, start.split("+")[-1]


@pytest.mark.parametrize("elsewhere", [True, False])
@pytest.mark.parametrize(
    ("place", "change"), [([BOOT, CONTAINER], ""), ([BOOT], ""), ([BOOT, CONTAINER], "1")]
)
def test_of_this_container_it_is_known(
    ours: tuple[str, str, str], place: list[str], change: str, elsewhere: bool
) -> None:
    """This process runs, and one of its id that started at another time has ended.

    Rows of older versions do not say in which container a process was.
    """
    host, pid, started = ours
    process = f"{host}|{pid}|{'+'.join([*place, started + change])}"
    assert is_alive(process, elsewhere=elsewhere) is not bool(change)


@pytest.mark.parametrize("elsewhere", [True, False])
@pytest.mark.parametrize("place", [[BOOT, "pid:[2]"], ["another-boot", CONTAINER]])
def test_of_one_that_shares_the_name_it_is_not_known(
    ours: tuple[str, str, str], place: list[str], elsewhere: bool
) -> None:
    """Another container's processes are not seen from here."""
    host, pid, started = ours
    process = f"{host}|{pid}|{'+'.join([*place, started])}"
    assert is_alive(process, elsewhere=elsewhere) is elsewhere


def test_what_ran_before_the_one_machine_started_again_has_ended(
    ours: tuple[str, str, str],
) -> None:
    """Where all processes are on one machine, as with SQLite, its restart ended them."""
    host, pid, started = ours
    process = f"{host}|{pid}|another-boot+{CONTAINER}+{started}"
    assert not is_alive(process, elsewhere=True, one_machine=True)
    assert is_alive(f"other|{pid}|another-boot", elsewhere=True, one_machine=True)
