"""Other HTTP clients, used as their manuals say, against the sandbox."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from support.sandbox_client import ADA, COUNT, FILES, PAGES, URLS

if TYPE_CHECKING:
    from avatarkit import Sandbox

LINK = "https://example.com/a.mp4"


def keys_of(sandbox: Sandbox) -> dict[str, str]:
    return {"X-API-ID": sandbox.api_id, "X-API-KEY": sandbox.api_key}


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Return a file of a megabyte."""
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x" * 1_000_000)
    return path


def test_requests(sandbox: Sandbox, video: Path) -> None:
    """Requests creates from a file and by URL, lists, reads and deletes."""
    with requests.Session() as api:
        api.trust_env = False
        api.headers.update(keys_of(sandbox))
        assert api.get(sandbox.url + URLS).json()[0]["type"] == "stock"
        with video.open("rb") as file:
            labels = [("labels", "a"), ("labels", "b")]
            answer = api.post(
                sandbox.url + FILES, data=[*ADA.items(), *labels], files={"lipsync_input": file}
            )
        assert (answer.status_code, answer.json()["labels"]) == (201, ["a", "b"])
        stored = api.get(answer.json()["lipsync_input"])
        assert stored.content == video.read_bytes()
        made = api.post(sandbox.url + URLS, json={**ADA, "lipsync_input": LINK}).json()
        page = api.get(sandbox.url + PAGES, params={"page_size": 1}).json()
        assert (page["count"], page["results"][0]["id"]) == (2, made["id"])
        assert api.get(f"{sandbox.url}{URLS}{made['id']}").json()["creator_name"] == "Ada"
        assert api.delete(f"{sandbox.url}{URLS}{made['id']}/").status_code == 204
        # As others report: it follows the 301 of a missing slash, and its POST becomes a GET.
        turned = api.post(sandbox.url + FILES.rstrip("/"), json=ADA)
        assert (turned.status_code, len(turned.json())) == (200, 1)


def test_aiohttp(sandbox: Sandbox, video: Path) -> None:
    """Aiohttp does the same, chunked and several calls at a time."""
    aiohttp = pytest.importorskip("aiohttp")

    async def use() -> None:
        async with aiohttp.ClientSession(sandbox.url, headers=keys_of(sandbox)) as api:

            async def call(method: str, path: str, **more: Any) -> tuple[int, Any]:
                async with api.request(method, path, **more) as answer:
                    text = await answer.text()
                    return answer.status, json.loads(text) if text else None

            form = aiohttp.FormData(ADA)
            form.add_field("labels", "a")
            form.add_field("labels", "b")
            with video.open("rb") as file:
                form.add_field("lipsync_input", file, filename="a.mp4", content_type="video/mp4")
                status, created = await call("POST", FILES, data=form)
            assert (status, created["labels"]) == (201, ["a", "b"])
            several = [call("POST", URLS, json={**ADA, "lipsync_input": LINK}) for _ in range(5)]
            made = {answer["id"] for _, answer in await asyncio.gather(*several)}
            _, listed = await call("GET", FILES)
            assert {item["id"] for item in listed} == made | {created["id"]}
            deleted = [call("DELETE", f"{URLS}{persona_id}/") for persona_id in made]
            assert {status for status, _ in await asyncio.gather(*deleted)} == {204}
            assert (await call("GET", COUNT))[1] == {"max_count": 100, "current_count": 1}

    asyncio.run(use())


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(sandbox: Sandbox, video: Path) -> None:
    """Curl uploads with -F, also with Expect: 100-continue, and reads what it made."""

    def curl(path: str, *options: str) -> Any:
        command = ["curl", "--silent", "--show-error", "--fail-with-body", "--noproxy", "*"]
        for name, value in keys_of(sandbox).items():
            command += ["--header", f"{name}: {value}"]
        answer = subprocess.run(
            [*command, *options, sandbox.url + path],
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
        )
        return json.loads(answer.stdout) if answer.stdout else None

    fields = [option for item in ADA.items() for option in ("-F", "=".join(item))]
    upload = [*fields, "-F", "labels=a", "-F", "labels=b", "-F", f"lipsync_input=@{video}"]
    for expect in ([], ["--header", "Expect: 100-continue"], ["--http1.0"]):
        created = curl(FILES, *upload, *expect)
        assert created["labels"] == ["a", "b"]
        assert curl(f"{URLS}{created['id']}/")["process_status"]
    body = json.dumps({**ADA, "lipsync_input": LINK})
    made = curl(URLS, "--json", body)
    assert made["lipsync_input"] == LINK
    assert curl(f"{URLS}{made['id']}/", "--request", "DELETE") is None
    assert curl(COUNT)["current_count"] == 3
