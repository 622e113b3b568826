"""What the answers about a persona said together."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit import PersonaCreate, Store
from avatarkit.models import Persona
from avatarkit.reports import export
from avatarkit.store import answers
from support.odd_answers import odd_answers

T0 = datetime(2026, 1, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CREATED = {
    "id": "p1",
    "process_status": "pending",
    "creator_name": "Ada",
    "labels": ["a"],
    "webhook_url": "https://example.com/hook",
    "lipsync_input": "https://cdn.example/footage.mp4",
    "lipsync_input_url": "https://cdn.example/used.mp4",
    "consent_video": "https://cdn.example/consent.mp4",
    "matching_voice_non_null": {"id": 7},
    "gdown_url": None,
}
CREATE_ONLY = {name: CREATED[name] for name in answers.CREATE_ONLY}


def see(store: Store, minute: int, *, source: str = "poll", **values: Any) -> None:
    persona = Persona.model_validate({"id": "p1", **values})
    at = T0 + minute * MINUTE
    store.record(persona, asked_at=at, answered_at=at, source=source)


def kept(store: Store) -> dict[str, Any]:
    persona = store.persona("p1")
    assert persona is not None
    return persona.answer()


def test_what_only_the_create_answers_survives_polls(store: Store) -> None:
    """Fields of the create's answer are kept, and the newest value of each other one."""
    see(store, 0, source="create", **CREATED)
    see(store, 5, process_status="processing", creator_name="Ada B.")
    see(store, 9, process_status="done", is_active=True, preview_image_1_1="https://x/1.jpg")
    assert kept(store) == {
        **CREATE_ONLY,
        "id": "p1",
        "process_status": "done",
        "creator_name": "Ada B.",
        "is_active": True,
        "preview_image_1_1": "https://x/1.jpg",
    }


@pytest.mark.parametrize("blank", [None, "", []])
def test_a_blank_value_does_not_replace_a_url(store: Store, blank: Any) -> None:
    """A GET that has null or nothing in a field of the create, or in a preview, erases nothing."""
    see(store, 0, source="create", **CREATED, preview_video_1_1="https://x/1.mp4")
    see(store, 5, **dict.fromkeys(CREATED, blank) | {"id": "p1", "process_status": "pending"})
    see(store, 9, process_status="pending", preview_video_1_1=blank)
    assert {name: kept(store)[name] or None for name in CREATE_ONLY} == CREATE_ONLY
    assert kept(store)["preview_video_1_1"] == "https://x/1.mp4"
    assert kept(store)["creator_name"] == blank


def test_a_reason_belongs_to_its_status(store: Store) -> None:
    """A reason is kept while the status stays, and does not outlive it."""
    see(store, 0, process_status="failed", failed_reason="No audio")
    see(store, 1, process_status="failed")
    assert kept(store)["failed_reason"] == "No audio"
    assert store.personas().iloc[0]["failed_reason"] == "No audio"
    see(store, 2, process_status="processing")
    assert "failed_reason" not in kept(store)
    assert store.personas()["failed_reason"].isna().all()


def test_an_overtaken_create_still_adds_its_fields(store: Store) -> None:
    """The answer to a create that was overtaken adds what the log lacks, but no status."""
    see(store, 5, process_status="processing", creator_name="Ada B.")
    see(store, 0, source="create", **CREATED)
    assert kept(store) == {
        **CREATED,
        "process_status": "processing",
        "creator_name": "Ada B.",
    }
    row = store.personas().iloc[0]
    assert (row["status"], row["labels"]) == ("processing", ["a"])
    assert len(store.sightings()) == 1


def stored(persona: Persona) -> Persona:
    """Return a persona as the log gives it back."""
    return Persona.model_validate_json(json.dumps(persona.answer(), allow_nan=False))


@pytest.mark.long
@given(st.lists(odd_answers(), min_size=1, max_size=4))
def test_the_union_has_every_field_and_the_newest_status(drawn: list[dict[str, Any]]) -> None:
    """Whatever the answers hold, each field is there, and the newest decides on the status."""
    personas = [Persona.model_validate(answer) for answer in drawn]
    persona = personas[0]
    for newer in personas[1:]:
        persona = answers.union(stored(persona), newer)
    newest = personas[-1]
    assert stored(persona).status_text == persona.status_text == newest.status_text
    assert stored(persona).answer() == persona.answer()
    state = {"process_status", "is_active", "failed_reason"}
    assert {name for answer in drawn for name in answer} - state <= persona.answer().keys()
    for name in drawn[-1].keys() - {"id", *state, *answers.CREATE_ONLY, *answers.PREVIEWS}:
        assert persona.answer()[name] == newest.answer()[name]


@pytest.mark.parametrize(
    ("fields", "image", "video"),
    [
        ({}, None, None),
        ({"preview_image_1_1": "", "preview_video_1_1": {"url": "https://x/1"}}, None, None),
        (
            {
                "preview_image_1_1": "https://x/1.jpg",
                "preview_image_16_9": "https://x/16.jpg",
                "preview_image_9_16": None,
                "squared_preview_video": "https://x/1.mp4",
                "portrait_preview_video": "https://x/9.mp4",
            },
            "https://x/16.jpg",
            "https://x/9.mp4",
        ),
    ],
)
def test_previews_stand_in_the_frame_and_its_csv(
    store: Store, fields: dict[str, Any], image: str | None, video: str | None
) -> None:
    """The best preview image and video of a persona are columns of the statuses."""
    see(store, 0, process_status="done", **fields)
    see(store, 1, process_status="done")
    frame = store.personas()
    assert frame["preview_image"].tolist() == [image] or frame["preview_image"].isna().all()
    assert ",preview_image,preview_video" in export.to_csv(frame).splitlines()[0]
    assert f",{image or ''},{video or ''}," in export.to_csv(frame).splitlines()[1]


def test_submissions_carry_what_was_sent(store: Store, tmp_path: Any) -> None:
    """Fields, labels, paths and URLs of a create are columns of the submissions and their CSV."""
    footage = tmp_path / "ada, final.mp4"
    footage.write_bytes(b"x")
    store.prepare(PersonaCreate(creator_name="Bo", gender="m"), T0)
    store.prepare(
        PersonaCreate(
            creator_name="Ada",
            gender="f",
            video_scene="office",
            keywords="a,b",
            labels=["x", "y"],
            webhook_url="https://example.com/hook",
            lipsync_input=footage,
        ),
        T0 + MINUTE,
    )
    names = ["gender", "video_scene", "keywords", "labels", "lipsync_input", "consent_video"]
    names += ["gdown_url", "webhook_url"]
    frame = store.submissions()
    assert list(frame.columns[-len(names) :]) == names
    bare, full = frame[names].astype(object).where(frame[names].notna(), None).values.tolist()
    assert bare == ["m", None, None, [], None, None, None, None]
    expected = ["f", "office", "a,b", ["x", "y"], str(footage), None, None]
    assert full == [*expected, "https://example.com/hook"]
    [line] = [row for row in export.to_csv(frame).splitlines() if "Ada" in row]
    assert line.endswith(f'"[""x"", ""y""]","{footage}",,,https://example.com/hook')
