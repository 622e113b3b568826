"""Clients of npm against the sandbox; ``nox -s peers`` installs them beside their scripts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from avatarkit import Sandbox

NODE = Path(__file__).with_name("node")

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (NODE / "node_modules").is_dir(),
    reason="node is not installed, or nox -s peers has not installed its packages",
)


def run(sandbox: Sandbox, script: str, *arguments: str | Path) -> dict[str, Any]:
    """Return what the script prints when it is run with the keys of ``sandbox``."""
    keys = {
        "AVATARKIT_BASE_URL": sandbox.url,
        "AVATARKIT_API_ID": sandbox.api_id,
        "AVATARKIT_API_KEY": sandbox.api_key,
    }
    finished = subprocess.run(
        ["node", NODE / script, *arguments],  # noqa: S607 - whichever node is installed
        env={**os.environ, **keys, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stderr
    return dict(json.loads(finished.stdout))


def test_the_public_client_of_the_vendors_api(sandbox: Sandbox) -> None:
    """@tsavo/creatify-api-ts lists, creates by URL, reads and deletes, and sees refusals."""
    answers = run(sandbox, "creatify.js")
    assert len(answers["usable"]) > len(answers["women"]) > 0
    assert {avatar["gender"] for avatar in answers["women"]} == {"f"}
    created = answers["created"]
    assert created["labels"] == ["a", "b"]
    assert created["lipsync_input"] == "https://example.com/a.mp4"
    assert [avatar["id"] for avatar in answers["listed"]] == [created["id"]]
    assert [avatar["id"] for avatar in answers["page"]["results"]] == [created["id"]]
    assert answers["found"]["creator_name"] == "Ada"
    assert answers["count"] == {"max_count": 100, "current_count": 1}
    assert answers["refused"]["status"] == 400
    assert set(answers["refused"]["data"]) == {"gender", "creator_name"}
    assert answers["gone"]["status"] == 404


def test_an_upload_by_axios(sandbox: Sandbox, tmp_path: Path) -> None:
    """Axios sends a file and repeated labels as a form, and reads the file back."""
    video = tmp_path / "a.mp4"
    video.write_bytes(b"x" * 1_000_000)
    answers = run(sandbox, "upload.js", video)
    assert answers["created"]["labels"] == ["a", "b"]
    assert (answers["stored"], answers["listed"], answers["deleted"]) == (1_000_000, 1, 204)
