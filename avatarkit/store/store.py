"""``Store``: the log of submissions, personas and sightings, on SQLAlchemy Core.

The log is run-length encoded: a row of ``sightings`` is one unbroken run of one status of one
persona, and polling an unchanged persona only moves ``last_seen_at``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from avatarkit.store.accounts import AccountDirectory
from avatarkit.store.batches import BatchLog
from avatarkit.store.erasing import Erasing
from avatarkit.store.lease import LeaseTable
from avatarkit.store.live import LiveView
from avatarkit.store.notifications import NotificationLog
from avatarkit.store.unchanged import UnchangedLog

if TYPE_CHECKING:
    import pandas as pd


class Store(
    BatchLog, UnchangedLog, LiveView, NotificationLog, LeaseTable, Erasing, AccountDirectory
):
    """The log of one account in one database.

    What an analysis reads:

    - ``personas()``, ``sightings()``, ``submissions()``: frames of the whole log, or of one
      persona; ``stages.visits`` and everything after it are computed from them.
    - ``persona(id)``: all that the API said of one persona.
    - ``changes_after(run_id)``, ``last_run_id()``: the changes of status, oldest first.
    - ``open_submissions()``: those of which it is not known whether they arrived.
    - ``batches()``, ``batch(id)``: what was submitted together, and what became of each row.
    - ``next_look_at()``, ``other_accounts()``, ``product``: when it is polled next, who else has
      rows here, and what the database is.

    ``Store(url)`` without an account reads the rows of all accounts with every reading method. The
    other methods write, for ``Tracker`` and the app.

    Every method raises ``StoreError`` when the database fails, and those that need an account when
    there is none. Each is one transaction, or joins the one that ``transaction`` opened, so nothing
    is half written.

    Args:
        url: ``sqlite:///file.db`` or ``postgresql+psycopg://user:password@host/name``.
        account: A fingerprint (``Client.account``): only its rows are read and written. A store
            without one reads the rows of all accounts, until a ``Tracker`` binds it.
        backups: How many daily backups of a SQLite file are kept; 0: none is made.
    """

    def personas(self, persona_id: str | None = None) -> pd.DataFrame:
        """Return the personas.

        Args:
            persona_id: Only this one; by default all.

        Returns:
            A row a persona, newest first; an empty frame has the same columns and dtypes:

            - ``persona_id``, ``creator_name``, ``gender``, ``video_scene``, ``keywords``: text.
            - ``labels``: lists of text, as they were sent.
            - ``status``: text, as it came; ``failed_reason``: text.
            - ``is_active``: boolean, NA where the API did not say.
            - ``created_at``, ``updated_at``: datetime64[us, UTC], by the API.
            - ``submitted_at``: datetime64[us, UTC], NaT if it was not submitted here.
            - ``first_seen_at``, ``last_seen_at``: datetime64[us, UTC], of all answers about it.
            - ``next_look_at``: datetime64[us, UTC], when it is polled next; NaT for never.
            - ``gone``: bool, the API does not find it any longer; it is still polled daily, unless
              it had ended or was deleted here.
            - ``last_error``: text, of the last poll if that failed; ``last_error_at``:
              datetime64[us, UTC], when it failed.
            - ``footage_missing``: boolean, True if footage was sent and may not have arrived
              (``footage_note`` says why), False if it arrived, NA where neither is known.
            - ``preview_image``, ``preview_video``: text, URLs of the best previews that the API
              has, landscape first; usually of a finished one only.
            - ``deleted_at``: datetime64[us, UTC], when it was deleted here, or when the API said of
              a persona that had ended that it has no such persona; NaT otherwise.
            - ``followed``: bool, False if a person wants it polled no longer.
        """
        from avatarkit.store import frames

        with self.transaction(reading=True) as connection:
            return frames.read(connection, frames.PERSONAS, self.account, persona_id)

    def sightings(self, persona_id: str | None = None) -> pd.DataFrame:
        """Return the runs of each status.

        Args:
            persona_id: Only this persona; by default all.

        Returns:
            A row a persona and run, by persona and time; an empty frame has the same columns and
            dtypes:

            - ``persona_id``, ``status``, ``failed_reason``: text.
            - ``first_seen_at``: datetime64[us, UTC], when the first answer with it arrived. If the
              clocks of this machine and of the API differ, both moments hold by either of them.
            - ``last_seen_at``: datetime64[us, UTC], when the last answer with it was requested; so
              before ``first_seen_at`` in a run that was seen once. From then on it is not known how
              long the status lasted.
            - ``times_seen``: int64, the answers with it.
            - ``reported_at``: datetime64[us, UTC], the API's ``created_at`` in the answer to a
              create, or when that was sent if it is later; else its ``updated_at`` in the first
              answer; NaT if it did not say.
            - ``source``: text, of the first answer: ``create``, ``poll`` or ``list``.
        """
        from avatarkit.store import frames

        with self.transaction(reading=True) as connection:
            return frames.read(connection, frames.SIGHTINGS, self.account, persona_id)

    def submissions(self, persona_id: str | None = None) -> pd.DataFrame:
        """Return the submissions.

        Args:
            persona_id: Only the one that became this persona; by default all.

        Returns:
            A row a submission, oldest first; an empty frame has the same columns and dtypes:

            - ``submission_id``: text.
            - ``state``: text: ``prepared``, ``sending``, ``accepted``, ``refused``, ``uncertain``.
            - ``persona_id``: text, of an accepted one; ``creator_name``: text.
            - ``prepared_at``, ``sent_at``, ``ended_at``: datetime64[us, UTC].
            - ``error``: text, why it was refused or is uncertain.
            - ``gender``, ``video_scene``, ``keywords``, ``gdown_url``, ``webhook_url``: text, as
              they were sent, the token of our own ``webhook_url`` as ``[token]``; ``labels``: lists
              of text.
            - ``lipsync_input``, ``consent_video``: text, the path or URL that was given.
        """
        from avatarkit.store import frames

        with self.transaction(reading=True) as connection:
            return frames.read(connection, frames.SUBMISSIONS, self.account, persona_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.url!r})"
