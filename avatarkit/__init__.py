"""Submit custom avatars, follow them for days, and know how long each stage takes.

Everything named in ``__all__`` is importable from here; what needs pandas, SQLAlchemy, altair or
a web server is loaded only when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avatarkit import (
        backtest,
        charts,
        coverage,
        durations,
        errors,
        eta,
        export,
        flow,
        outcomes,
        preflight,
        stages,
    )
    from avatarkit.client import Client
    from avatarkit.models import Gender, Persona, PersonaCreate, ProcessStatus, Quota
    from avatarkit.sandbox import Sandbox
    from avatarkit.session import Session, open_session
    from avatarkit.settings import Settings
    from avatarkit.store import Store
    from avatarkit.tracker import Change, Tracker

__version__ = "0.1.0"

_HOME = {
    "Change": "tracker",
    "Client": "client",
    "Gender": "models",
    "Persona": "models",
    "PersonaCreate": "models",
    "ProcessStatus": "models",
    "Quota": "models",
    "Sandbox": "sandbox",
    "Session": "session",
    "Settings": "settings",
    "Store": "store",
    "Tracker": "tracker",
    "open_session": "session",
}
_MODULES = (
    "backtest",
    "charts",
    "coverage",
    "durations",
    "errors",
    "eta",
    "export",
    "flow",
    "outcomes",
    "preflight",
    "stages",
)

__all__ = [
    "Change",
    "Client",
    "Gender",
    "Persona",
    "PersonaCreate",
    "ProcessStatus",
    "Quota",
    "Sandbox",
    "Session",
    "Settings",
    "Store",
    "Tracker",
    "__version__",
    "backtest",
    "charts",
    "coverage",
    "durations",
    "errors",
    "eta",
    "export",
    "flow",
    "open_session",
    "outcomes",
    "preflight",
    "stages",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"avatarkit.{_HOME[name]}"), name)
    if name in _MODULES:
        return import_module(f"avatarkit.{name}")
    raise AttributeError(f"module 'avatarkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
