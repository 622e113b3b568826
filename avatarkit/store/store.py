"""``Store``: the log of what was sent and seen, on SQLAlchemy Core.

The log is run-length encoded: a row of ``sightings`` is one unbroken run of one status of one
persona, and polling an unchanged persona only moves ``last_seen_at``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from avatarkit.store.plan import PollPlan
from avatarkit.store.submissions import SubmissionJournal

if TYPE_CHECKING:
    import pandas as pd


class Store(SubmissionJournal, PollPlan):
    """The log of one account in one database.

    Every method raises ``StoreError`` when the database fails or the store has no account. Each is
    one transaction, or part of the one that ``transaction`` opened: nothing is half written.

    Args:
        url: ``sqlite:///file.db`` or ``postgresql+psycopg://user:password@host/name``.
        account: A fingerprint (``Client.account``): only its rows are read and written. A store
            without one reads the rows of all accounts, until a ``Tracker`` binds it.
    """

    def personas(self) -> pd.DataFrame:
        """Return all personas.

        Returns:
            A row a persona, newest first, with the columns of ``frames.PERSONAS``.
        """
        from avatarkit.store import frames

        with self.transaction(reading=True) as connection:
            return frames.read(connection, frames.PERSONAS, self.account)

    def sightings(self, persona_id: str | None = None) -> pd.DataFrame:
        """Return the runs of each status, of all personas or of one.

        Returns:
            A row a persona and run, by persona and time, with the columns of ``frames.SIGHTINGS``.
        """
        from avatarkit.store import frames

        with self.transaction(reading=True) as connection:
            return frames.read(connection, frames.SIGHTINGS, self.account, persona_id)

    def submissions(self) -> pd.DataFrame:
        """Return all submissions.

        Returns:
            A row a submission, oldest first, with the columns of ``frames.SUBMISSIONS``.
        """
        from avatarkit.store import frames

        with self.transaction(reading=True) as connection:
            return frames.read(connection, frames.SUBMISSIONS, self.account)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.url!r})"
