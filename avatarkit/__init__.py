"""Submit custom avatars, follow them for days, and know how long each stage takes.

Every name in ``__all__`` can be imported from here. What needs pandas, SQLAlchemy, altair or a web
server is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # type checkers do not read the table below
    from avatarkit import errors as errors
    from avatarkit import preflight as preflight
    from avatarkit.api.client import Client as Client
    from avatarkit.estimates import backtest as backtest
    from avatarkit.estimates import durations as durations
    from avatarkit.estimates import eta as eta
    from avatarkit.estimates import outcomes as outcomes
    from avatarkit.estimates import waiting
    from avatarkit.history import coverage as coverage
    from avatarkit.history import groups as groups
    from avatarkit.history import stages as stages
    from avatarkit.models import Gender as Gender
    from avatarkit.models import Persona as Persona
    from avatarkit.models import PersonaCreate as PersonaCreate
    from avatarkit.models import ProcessStatus as ProcessStatus
    from avatarkit.models import Quota as Quota
    from avatarkit.reports import charts as charts
    from avatarkit.reports import export as export
    from avatarkit.sandbox import Sandbox as Sandbox
    from avatarkit.sandbox.footage import sample_video as sample_video
    from avatarkit.sandbox.sample_history import sample_history as sample_history
    from avatarkit.session import Session as Session
    from avatarkit.session import open_session as open_session
    from avatarkit.settings import Settings as Settings
    from avatarkit.store.batches import SubmitResult as SubmitResult
    from avatarkit.store.store import Store as Store
    from avatarkit.tracking import sheet as sheet
    from avatarkit.tracking.tracker import Change as Change
    from avatarkit.tracking.tracker import Tracker as Tracker

    flow = waiting

__version__ = "0.1.0"

_PUBLIC = {
    "Change": "avatarkit.tracking.tracker:Change",
    "Client": "avatarkit.api.client:Client",
    "Gender": "avatarkit.models:Gender",
    "Persona": "avatarkit.models:Persona",
    "PersonaCreate": "avatarkit.models:PersonaCreate",
    "ProcessStatus": "avatarkit.models:ProcessStatus",
    "Quota": "avatarkit.models:Quota",
    "Sandbox": "avatarkit.sandbox:Sandbox",
    "Session": "avatarkit.session:Session",
    "Settings": "avatarkit.settings:Settings",
    "Store": "avatarkit.store.store:Store",
    "SubmitResult": "avatarkit.store.batches:SubmitResult",
    "Tracker": "avatarkit.tracking.tracker:Tracker",
    "backtest": "avatarkit.estimates.backtest",
    "charts": "avatarkit.reports.charts",
    "coverage": "avatarkit.history.coverage",
    "durations": "avatarkit.estimates.durations",
    "errors": "avatarkit.errors",
    "eta": "avatarkit.estimates.eta",
    "export": "avatarkit.reports.export",
    "flow": "avatarkit.estimates.waiting",
    "groups": "avatarkit.history.groups",
    "open_session": "avatarkit.session:open_session",
    "outcomes": "avatarkit.estimates.outcomes",
    "preflight": "avatarkit.preflight",
    "sample_history": "avatarkit.sandbox.sample_history:sample_history",
    "sample_video": "avatarkit.sandbox.footage:sample_video",
    "sheet": "avatarkit.tracking.sheet",
    "stages": "avatarkit.history.stages",
}
"""Public name -> module, or module:attribute."""

__all__ = sorted(["__version__", *_PUBLIC])


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'avatarkit' has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    loaded = import_module(module)
    return getattr(loaded, attribute) if attribute else loaded


def __dir__() -> list[str]:
    return __all__
