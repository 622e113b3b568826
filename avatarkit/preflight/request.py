"""Judge a create as a whole: whether it has footage, and whether the API can fetch its URLs."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from avatarkit.models import PersonaCreate
from avatarkit.preflight.findings import Finding, Severity, Source

LONGEST_URL = 200
"""Characters of the longest URL that is known to be accepted: Django's default."""

_NO_FOOTAGE = Finding(
    "footage",
    Severity.FATAL,
    "There is no footage; give lipsync_input or gdown_url. The API would take a place of the plan "
    "for an avatar that cannot be made.",
    "none",
    "a file, a URL or a Google Drive link",
    Source.DOCUMENTED,
)
_NO_CONSENT = Finding(
    "consent",
    Severity.WARNING,
    "There is no consent video; the API takes the avatar without, but its review may ask for one.",
    "none",
    "a recorded consent",
    Source.DOCUMENTED,
)


def check_request(request: PersonaCreate, *, live: bool = True) -> tuple[Finding, ...]:
    """Check a create without looking into its files or fetching its URLs.

    Args:
        request: The create.
        live: Whether it goes to the live account, which cannot reach the hosts of this network.

    Returns:
        The problems: a fatal one for a create without footage, for which the API would make an
        avatar all the same; warnings for a missing consent video and for URLs that the API may not
        be able to fetch.
    """
    findings = []
    if not (request.lipsync_input or request.gdown_url):
        findings.append(_NO_FOOTAGE)
    if not request.consent_video:
        findings.append(_NO_CONSENT)
    for field in ("lipsync_input", "consent_video", "gdown_url", "webhook_url"):
        url = getattr(request, field)
        if isinstance(url, str):
            findings += _judge_url(field, url, live=live)
    return tuple(findings)


def _judge_url(field: str, url: str, *, live: bool) -> Iterator[Finding]:
    parts = urlsplit(url)
    host = (parts.hostname or "").removesuffix(".")

    def warning(check: str, problem: str, value: str, limit: str, source: Source) -> Finding:
        return Finding(check, Severity.WARNING, f"{field}: {problem}", value, limit, source)

    if len(url) > LONGEST_URL:
        problem = f"this URL is longer than {LONGEST_URL} characters; give a shorter one."
        limit = f"at most {LONGEST_URL} characters"
        yield warning("length of URL", problem, f"{len(url)} characters", limit, Source.DOCUMENTED)
    if live and _is_private(host):
        problem = f"only this machine or network can reach {host}; give a public URL."
        yield warning("host", problem, host, "a public host", Source.SEEN)
    if field == "gdown_url" and host not in ("drive.google.com", "docs.google.com"):
        problem = "this is no link of Google Drive; give other URLs as lipsync_input."
        yield warning("page", problem, host, "drive.google.com", Source.DOCUMENTED)
    if field in ("lipsync_input", "consent_video"):
        page = _page(host, parts.path, parts.query)
        if page is not None:
            yield warning("page", page, host, "the URL of a video file", Source.SEEN)


def _is_private(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal", ".lan"))


def _page(host: str, path: str, query: str) -> str | None:
    """Return what to do about a URL that leads to a page with a video; None for another one."""
    if host == "drive.google.com" and path.startswith(("/file/", "/open", "/drive/")):
        return "this is a page of Google Drive, not a video; give footage as gdown_url."
    if host == "youtu.be" or f".{host}".endswith(".youtube.com"):
        return "this is a page of YouTube, not a video; send the file itself."
    asked = parse_qs(query)
    is_file = "1" in asked.get("dl", []) + asked.get("raw", [])
    if f".{host}".endswith(".dropbox.com") and not is_file:
        return "this is a page of Dropbox, not a video; end the URL with dl=1."
    return None
