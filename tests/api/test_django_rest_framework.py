"""Client and tracker against Django REST framework behind gunicorn, over real HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from avatarkit import Client, PersonaCreate, Store, Tracker, errors
from avatarkit.models import Gender, Quota
from support.cutting_proxy import CuttingProxy
from support.django_server import API_ID, API_KEY, DjangoServer, serving
from support.sandbox_client import ADA, COUNT, FILES, PAGES, URLS

if TYPE_CHECKING:
    from support.manual_clock import ManualClock

pytest.importorskip("gunicorn.http", reason="gunicorn runs on POSIX only")


@pytest.fixture(scope="module")
def django(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DjangoServer]:
    """Yield a server that lasts for all tests of this file."""
    with serving(tmp_path_factory.mktemp("django")) as server:
        yield server


@pytest.fixture
def client(django: DjangoServer) -> Iterator[Client]:
    """Yield a client of that server."""
    with Client(django.url, API_ID, API_KEY) as client:
        yield client


@pytest.fixture
def api(django: DjangoServer) -> Iterator[httpx.Client]:
    """Yield a bare client of that server."""
    with django.client() as client:
        yield client


@pytest.fixture
def videos(tmp_path: Path) -> dict[str, Path]:
    """Return the fields of two videos of 2 MB and 1 KB."""
    sizes = {"lipsync_input": 2_000_000, "consent_video": 1_000}
    paths = {name: tmp_path / f"{name}.mp4" for name in sizes}
    for name, path in paths.items():
        path.write_bytes(b"\r\n--video" * (sizes[name] // 9))
    return paths


class TestCreate:
    """What this client sends is what the framework reads."""

    def test_files_and_labels_arrive(
        self, django: DjangoServer, client: Client, videos: dict[str, Path]
    ) -> None:
        """Both files arrive byte by byte, and repeated labels as a list, in their order."""
        labels = ["first", "zweites, with a comma", "日本"]
        request = PersonaCreate(creator_name="Ada 李", gender="f", labels=labels, **videos)
        persona = client.create_persona(request)
        assert (persona.creator_name, persona.labels) == ("Ada 李", labels)
        assert (persona.process_status, persona.failed_reason) == ("pending", None)
        media = django.database.parent / "media"
        for name, path in videos.items():
            url = getattr(persona, name)
            assert (media / url.rpartition("/")[2]).read_bytes() == path.read_bytes()

    def test_urls_arrive(self, client: Client) -> None:
        """A create by URL is answered with the URLs."""
        urls = {
            "lipsync_input": "https://example.com/a.mp4",
            "consent_video": "https://example.com/b.mov",
        }
        request = PersonaCreate(creator_name="Ada", gender="nb", video_scene="office", **urls)
        persona = client.create_persona(request)
        assert {name: getattr(persona, name) for name in urls} == urls
        assert persona.video_scene == "office"

    def test_no_video_is_needed(self, client: Client) -> None:
        """A create without videos makes an avatar, as the contract has it."""
        request = PersonaCreate(creator_name="Ada", gender="m", labels=["x"], keywords="a,b")
        persona = client.create_persona(request)
        assert (persona.labels, persona.keywords, persona.lipsync_input) == (["x"], "a,b", None)

    def test_a_long_file_name_is_no_obstacle(
        self, api: httpx.Client, client: Client, videos: dict[str, Path]
    ) -> None:
        """The framework refuses names over 100 characters; what this client sends fits."""
        content = videos["consent_video"].read_bytes()
        answer = api.post(FILES, data=ADA, files={"lipsync_input": ("x" * 100 + ".mp4", content)})
        message = "Ensure this filename has at most 100 characters (it has 104)."
        assert (answer.status_code, answer.json()) == (400, {"lipsync_input": [message]})
        long = videos["consent_video"].rename(videos["consent_video"].with_name("y" * 200 + ".mp4"))
        try:
            persona = client.create_persona(PersonaCreate(**ADA, lipsync_input=long))
        except errors.InvalidRequest as error:
            assert error.fields == {"lipsync_input": [message.replace("104", "204")]}
        else:
            assert persona.lipsync_input is not None

    def test_a_refusal_names_the_fields(self, api: httpx.Client, client: Client) -> None:
        """A 400 of the framework, flat or nested, is one sentence with the fields."""
        request = PersonaCreate.model_construct(
            creator_name="x" * 256,
            gender=Gender.F,
            labels=["a", ""],
            webhook_url="https://nowhere/x",
        )
        with pytest.raises(errors.InvalidRequest) as caught:
            client.create_persona(request)
        assert set(caught.value.fields) == {"creator_name", "labels", "webhook_url"}
        assert "Ensure this field has no more than 255 characters." in str(caught.value)
        assert "This field may not be blank." in str(caught.value)


class TestReading:
    """By id, in lists and pages; and what is refused."""

    def test_get_list_and_delete(self, client: Client) -> None:
        """What was created is found by id and in the list, and gone once it is deleted."""
        created = client.create_persona(PersonaCreate(creator_name="Ada", gender="f"))
        before = client.persona_quota()
        assert client.get_persona(created.id).creator_name == "Ada"
        assert created.id in {persona.id for persona in client.list_personas()}
        client.delete_persona(created.id)
        with pytest.raises(errors.NotFound):
            client.get_persona(created.id)
        with pytest.raises(errors.NotFound):
            client.delete_persona(created.id)
        assert client.persona_quota() == Quota(max_count=50, current_count=before.current_count - 1)

    def test_pages_are_read_to_the_end(self, django: DjangoServer, api: httpx.Client) -> None:
        """Following the framework's links, of any page size, reads what the bare list has."""
        for number in range(3):
            assert api.post(FILES, json={**ADA, "keywords": str(number)}).status_code == 201
        bare = [item["id"] for item in api.get(FILES).json()]

        def paged(request: httpx.Request) -> httpx.Response:
            # A vendor that lists in pages where a bare array is documented.
            path = request.url.raw_path.decode().replace(FILES, f"{PAGES}?page_size=2")
            return httpx.Response(200, content=api.get(path).content)

        with Client(
            "https://api.example.com", API_ID, API_KEY, transport=httpx.MockTransport(paged)
        ) as client:
            assert [persona.id for persona in client.list_personas()] == bare
        assert [item["id"] for item in api.get(URLS).json()] == bare

    def test_wrong_keys_are_said(self, django: DjangoServer) -> None:
        """401 without keys and 403 with wrong ones, both in the framework's JSON."""
        with (
            Client(django.url, API_ID, "another-key") as client,
            pytest.raises(errors.AuthError) as caught,
        ):
            client.persona_quota()
        assert caught.value.status_code == 403
        answer = httpx.get(f"{django.url}{COUNT}", trust_env=False)
        assert answer.status_code == 401
        assert answer.json() == {"detail": "Authentication credentials were not provided."}

    def test_throttling_is_said_with_its_time(self, tmp_path: Path) -> None:
        """The framework's 429 has its words and a Retry-After, and is not tried again."""
        with (
            serving(tmp_path, rate="2/hour") as throttled,
            Client(throttled.url, API_ID, API_KEY) as client,
        ):
            for _ in range(2):
                client.persona_quota()
            with pytest.raises(errors.RateLimited) as caught:
                client.persona_quota()
        assert caught.value.retry_after_s is not None
        assert 3500 < caught.value.retry_after_s <= 3600
        [message] = caught.value.messages
        pattern = r"Request was throttled\. Expected available in 3\d{3} seconds\."
        assert re.fullmatch(pattern, message)


def test_a_tracker_follows_one_to_its_end(
    django: DjangoServer, client: Client, tmp_path: Path, manual_clock: ManualClock
) -> None:
    """Each status that the vendor's workers write is seen, one of their own invention too."""
    with Store(f"sqlite:///{tmp_path / 'log.db'}") as store:
        tracker = Tracker(client, store, clock=manual_clock)
        persona = tracker.submit(PersonaCreate(creator_name="Ada", gender="f"))
        steps = [("processing", None), ("quality_check", None), ("failed", "The face is hidden.")]
        for status, reason in steps:
            django.set_status(persona.id, status, reason)
            manual_clock.advance(timedelta(days=1))
            [change] = tracker.look()
            assert (change.after, change.failed_reason) == (status, reason)
        seen = store.sightings(persona.id)["status"].tolist()
        assert seen == ["pending", *(status for status, _ in steps)]
        manual_clock.advance(timedelta(days=1))
        assert tracker.look() == []


LAST_BOUNDARY = len("--") + 32 + len("--\r\n")
CUTS = {
    "half": lambda length: length // 2,
    "99 %": lambda length: length * 99 // 100,
    "all but the last boundary": lambda length: length - LAST_BOUNDARY,
}


@pytest.mark.parametrize("files_first", [True, False])
def test_what_gunicorn_makes_of_a_cut_body(django: DjangoServer, *, files_first: bool) -> None:
    """With files first and required fields last a cut body makes nothing; else it makes an avatar.

    This is a fact of the server, for which the client's order of parts was chosen.
    """
    part = '--b\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
    texts = part.format("creator_name", "", "cut") + part.format("gender", "", "f")
    video = part.format("lipsync_input", '; filename="a.mp4"', "x" * 100_000)
    body = (video + texts if files_first else texts + video).encode() + b"--b--\r\n"
    with django.client() as api, CuttingProxy(django.url, CUTS["half"]) as proxy:
        before = api.get(COUNT).json()["current_count"]
        headers = {**api.headers, "Content-Type": "multipart/form-data; boundary=b"}
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{proxy.url}{FILES}", content=body, headers=headers, trust_env=False)
        made = api.get(COUNT).json()["current_count"] - before
    assert made == (0 if files_first else 1)


@pytest.mark.parametrize("kept", CUTS)
def test_a_create_that_is_cut_makes_nothing_or_is_told(
    django: DjangoServer, client: Client, tmp_path: Path, videos: dict[str, Path], kept: str
) -> None:
    """After an upload that broke off there is no avatar, or one whose missing footage is said."""
    request = PersonaCreate(creator_name=f"cut: {kept}", gender="f", **videos)
    with Store(f"sqlite:///{tmp_path / 'log.db'}") as store:
        with (
            CuttingProxy(django.url, CUTS[kept]) as proxy,
            Client(proxy.url, API_ID, API_KEY) as cut,
            pytest.raises(errors.SubmissionUncertain),
        ):
            Tracker(cut, store).submit(request)
        made = [
            persona.id
            for persona in client.list_personas()
            if persona.creator_name == request.creator_name
        ]
        verdicts = Tracker(client, store).reconcile()
        personas = store.personas()
    if made:
        assert [verdict.persona and verdict.persona.id for verdict in verdicts] == made
        assert personas["footage_missing"].tolist() == [True]
    else:
        assert personas.empty
