"""Answers of the API in which only id and status are as documented."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import strategies as st

from avatarkit.models import Persona, ProcessStatus

# Without NUL, surrogates and other control characters, of which some are replaced.
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted(set(Persona.model_fields) - {"id", "process_status"})
STATUSES = st.sampled_from([status.value for status in ProcessStatus]).flatmap(
    lambda status: st.sampled_from([status, f" {status}\n", status.title()])
)
IDS = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True) | st.integers(0, 10**20)

_READ_IN_OTHER_FORMS = ("is_active", "created_at", "updated_at")


@st.composite
def odd_answers(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an answer with an id, most often a status, and any values elsewhere."""
    names = st.sampled_from(FIELDS) | TEXT.filter(lambda name: name not in ("id", "process_status"))
    answer = draw(st.dictionaries(names, JSON_VALUES, max_size=8))
    status = draw(STATUSES | JSON_VALUES)
    return {**answer, "id": draw(IDS), "process_status": status}


def strict(value: Any) -> Any:
    """Return a JSON value with NaN and infinity, which are no JSON, as text."""
    if isinstance(value, list):
        return [strict(item) for item in value]
    if isinstance(value, dict):
        return {name: strict(item) for name, item in value.items()}
    is_odd = isinstance(value, float) and not math.isfinite(value)
    return json.dumps(value) if is_odd else value


def check_kept(persona: Persona, answer: dict[str, Any]) -> None:
    """Check that a persona has the id and status of an answer, and the rest as it came."""
    assert persona.id == str(answer["id"])
    status = answer["process_status"]
    if isinstance(status, str) and status.strip():
        assert persona.status_text == status.strip()
    elif strict(status) == status and status is not None and not isinstance(status, str):
        assert not persona.is_terminal
        assert "process_status" in persona.odd_fields
    kept = persona.answer()
    for name in answer.keys() - {"id", "process_status"}:
        if name in persona.odd_fields or name not in _READ_IN_OTHER_FORMS:
            assert kept[name] == strict(answer[name])
