"""Every fault of the sandbox against every call, over a socket: what the client makes of it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from avatarkit import Client, PersonaCreate, Sandbox, Settings, Store, Tracker, errors
from avatarkit.sandbox import FAULTS

RETRIED = {
    "500-html", "502", "503", "504-made", "closed-before", "closed-during", "closed-during-made",
    "closed-after", "closed-after-made", "closed-in-answer",
}  # fmt: skip
THROTTLED = {"429", "429-seconds", "429-date"}
MISFITS = {"broken-json", "other-json"}
REFUSED = {*THROTTLED, "301"}
"""Answers to a create that say for sure that nothing was made."""

CALLS: dict[str, Callable[[Client, str], Any]] = {
    "get": lambda client, persona_id: client.get_persona(persona_id),
    "list": lambda client, _: list(client.list_personas()),
    "quota": lambda client, _: client.persona_quota(),
    "delete": lambda client, persona_id: client.delete_persona(persona_id),
}
TABLE: dict[str, dict[str, str]] = {}


KEYS: list[str] = []


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    with Sandbox(speed=1_000) as sandbox:
        KEYS.append(sandbox.api_key)
        yield sandbox


@pytest.fixture(scope="module", autouse=True)
def _table_at_the_end(request: pytest.FixtureRequest) -> Iterator[None]:
    """Print what each call made of each fault."""
    yield
    names = [*CALLS, "create", "settled as"]
    lines = ["".join(f"{text:<20}" for text in ["fault (once)", *names])]
    lines += [
        "".join(f"{text:<20}" for text in [fault, *(row.get(name, "") for name in names)])
        for fault, row in TABLE.items()
    ]
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print("\n" + "\n".join(lines))  # noqa: T201 - the table is what the module is for


@pytest.fixture
def client(served: Sandbox) -> Iterator[Client]:
    served.heal()
    settings = Settings(
        base_url=served.url,
        api_id=served.api_id,
        api_key=served.api_key,
        read_timeout_s=0.7,
        write_timeout_s=0.7,
    )
    with Client(settings=settings, backoff_s=0, deadline_s=4) as opened:
        yield opened
    served.heal()


def outcome(call: Callable[[], Any]) -> str:
    try:
        call()
    except errors.AvatarkitError as error:
        assert str(error).strip()
        shown = "".join(traceback.format_exception(error)) + repr(vars(error))
        assert KEYS[0] not in shown
        return type(error).__name__
    return "fine"


@pytest.fixture(autouse=True)
def _no_key_in_any_log(served: Sandbox, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No log record at any level holds the key, whatever goes wrong."""
    caplog.set_level(1)
    yield
    records = [record.getMessage() for record in caplog.get_records("call")]
    assert records
    assert not [text for text in records if served.api_key in text]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    "name",
    ["get", "delete", *(pytest.param(name, marks=pytest.mark.long) for name in ("list", "quota"))],
)
def test_an_idempotent_call(served: Sandbox, client: Client, name: str, fault: str) -> None:
    """One fault is outlived where a retry helps, and is one error of the tree elsewhere."""
    persona_id = client.create_persona(PersonaCreate(creator_name="Ada", gender="f")).id
    served.fail_next(fault, method="DELETE" if name == "delete" else "GET", retry_after_s=0)
    got = outcome(lambda: CALLS[name](client, persona_id))
    TABLE.setdefault(fault, {})[name] = got
    if fault in RETRIED or fault == "wrong-content-type":
        assert got == "fine"
    elif fault in THROTTLED:
        assert got == "RateLimited"
    elif fault == "301":
        assert got == "StatusError"
    elif fault in MISFITS:
        assert got == ("fine" if name == "delete" else "UnexpectedAnswer")
    else:
        assert fault == "endless"
        assert got in ("fine", "RequestTimeout")
    if name == "delete" and got == "fine":
        assert outcome(lambda: client.get_persona(persona_id)) == "NotFound"


def test_a_wait_ends_in_time_though_no_answer_does(served: Sandbox, tmp_path: Path) -> None:
    """A wait of a second is over soon after, also when every answer drips without end."""
    with (
        Client(served.url, served.api_id, served.api_key) as patient,
        Store(f"sqlite:///{tmp_path / 'log.db'}") as store,
    ):
        tracker = Tracker(patient, store, clock=served.clock)
        persona = tracker.submit(PersonaCreate(creator_name="Ada", gender="f"))
        served.advance(hours=1)
        served.fail_share("endless", 1.0)
        began = tracker.clock.monotonic()
        with pytest.raises(errors.WaitTimeout):
            tracker.wait(persona.id, timeout=1)
        assert tracker.clock.monotonic() - began < 10
        served.heal()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("with_file", [False, True], ids=["json", "multipart"])
def test_a_create(
    served: Sandbox, client: Client, tmp_path: Path, fault: str, with_file: bool
) -> None:
    """A create is sent once; what became of it is found out; there is never a duplicate."""
    video = tmp_path / "v.mp4"
    video.write_bytes(b"\0" * 3_000_000)
    name = f"{fault} {with_file}"
    request = PersonaCreate(
        creator_name=name, gender="nb", lipsync_input=video if with_file else None
    )
    with Store(f"sqlite:///{tmp_path / 'log.db'}") as store:
        tracker = Tracker(client, store, clock=served.clock)
        served.fail_next(fault, method="POST")
        got = outcome(lambda: tracker.submit(request))
        state = store.submissions().iloc[0]["state"]
        made = [one.id for one in client.list_personas() if one.creator_name == name]
        tracker.reconcile()
        served.advance(hours=2)
        # One that is pending: a list that shows it hides none that is.
        witness = client.create_persona(PersonaCreate(creator_name="witness", gender="f"))
        tracker.reconcile()
        client.delete_persona(witness.id)
        row = store.submissions().iloc[0]
        TABLE.setdefault(fault, {}).update({"create": got, "settled as": row["state"]})

        assert len(made) <= 1
        assert state == {"fine": "accepted", "SubmissionUncertain": "uncertain"}.get(got, "refused")
        if fault in REFUSED:
            assert (state, made) == ("refused", [])
        # Settled rightly: what was made is known and followed, what was not is safe to send again.
        assert row["state"] == ("accepted" if made else "refused")
        assert list(store.personas()["persona_id"]) == made
        # Nothing but an answer to the create shows that the whole upload arrived.
        unanswered = fault.startswith("closed") or fault == "endless"
        told = [store.footage_note(persona_id) is not None for persona_id in made]
        assert told == [with_file and unanswered] * len(made)
        for one in made:
            client.delete_persona(one)
