"""What is said of a create as a whole, before it is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from avatarkit import PersonaCreate
from avatarkit.preflight import Severity, check_request

VIDEO = "https://cdn.example.com/a.mp4"


def messages(*, live: bool = True, **values: Any) -> list[str]:
    """Return the messages on a create that has a good consent video."""
    given = {"creator_name": "Ada", "gender": "f", "consent_video": VIDEO, **values}
    findings = check_request(PersonaCreate(**given), live=live)
    assert all(finding.severity is Severity.WARNING for finding in findings)
    return [finding.message for finding in findings]


@pytest.mark.parametrize("live", [True, False])
def test_a_create_without_footage_is_fatal(live: bool) -> None:
    """The API would make an avatar of it, which takes a place of the plan."""
    findings = check_request(PersonaCreate(creator_name="Ada", gender="f"), live=live)
    assert [(finding.check, finding.severity) for finding in findings] == [
        ("footage", "fatal"),
        ("consent", "warning"),
    ]
    assert "give lipsync_input or gdown_url" in findings[0].message


@pytest.mark.parametrize(
    ("field", "url"),
    [
        ("lipsync_input", VIDEO),
        ("lipsync_input", "https://drive.google.com/uc?export=download&id=1"),
        ("lipsync_input", "https://www.dropbox.com/s/1/a.mp4?dl=1"),
        ("lipsync_input", "https://www.dropbox.com/scl/fi/1/a.mp4?rlkey=2&raw=1"),
        ("lipsync_input", "https://notdropbox.com/a.mp4"),
        ("lipsync_input", f"https://example.com/{'x' * 180}"),
        ("lipsync_input", "https://8.8.8.8/a.mp4"),
        ("gdown_url", "https://drive.google.com/file/d/1/view?usp=sharing"),
    ],
)
def test_good_footage_has_no_finding(field: str, url: str) -> None:
    """A URL of a file that everybody can fetch, or a link of Drive where one belongs."""
    assert messages(**{field: url}) == []


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("https://drive.google.com/file/d/1/view", "footage goes as gdown_url"),
        ("https://drive.google.com/open?id=1", "footage goes as gdown_url"),
        ("https://www.youtube.com/watch?v=1", "page of YouTube"),
        ("https://youtu.be/1", "page of YouTube"),
        ("https://www.dropbox.com/s/1/a.mp4?dl=0", "end the URL with dl=1"),
        ("https://www.dropbox.com/s/1/a.mp4", "end the URL with dl=1"),
        (f"https://example.com/{'x' * 181}", "longer than 200 characters"),
    ],
)
@pytest.mark.parametrize("field", ["lipsync_input", "consent_video"])
def test_a_url_that_may_not_be_fetched_is_a_warning(field: str, url: str, advice: str) -> None:
    """The page of a video is not the video; the sentence names the field and the way out."""
    [message] = messages(**{"lipsync_input": VIDEO, field: url})
    assert message.startswith(f"{field}: ")
    assert advice in message


@pytest.mark.parametrize(
    "host",
    [
        "localhost:8000",
        "127.0.0.1",
        "[::1]:8000",
        "192.168.1.20",
        "10.0.0.1",
        "169.254.1.1",
        "nas.local",
        "NAS.local.",
        "files.corp.internal",
        "nas",
    ],
)
@pytest.mark.parametrize("field", ["lipsync_input", "consent_video", "webhook_url"])
def test_a_host_that_only_this_network_can_reach(field: str, host: str) -> None:
    """It is a warning on the live account, and fine for a sandbox on this machine."""
    values = {"lipsync_input": VIDEO, field: f"http://{host}/a.mp4"}
    [message] = messages(**values)
    assert message.startswith(f"{field}: only this machine or network can reach ")
    assert messages(**values, live=False) == []


def test_a_link_that_is_not_of_drive() -> None:
    """gdown_url takes Drive links; another URL belongs into lipsync_input."""
    [message] = messages(gdown_url=VIDEO)
    assert "no link of Google Drive" in message


def test_a_file_is_footage(tmp_path: Path) -> None:
    """Files are checked by ``check``; here they only have to be there."""
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    assert messages(lipsync_input=path, consent_video=path) == []
