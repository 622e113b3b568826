"""What the tests of the store share."""

from __future__ import annotations

from support.postgres import postgres, postgres_server

__all__ = ["postgres", "postgres_server"]
