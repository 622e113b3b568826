"""Judge a create as a whole: whether it has footage, and whether the API can fetch its URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from avatarkit.models import PersonaCreate
from avatarkit.preflight.findings import Finding, Severity, Source

LONGEST_URL = 200
"""Characters of the longest URL that is known to be accepted: Django's default."""

_NO_FOOTAGE = (
    "There is no footage; give lipsync_input or gdown_url. The API would take a place of the plan "
    "for an avatar that cannot be made."
)
_NO_CONSENT = (
    "There is no consent video; the API takes the avatar without, but its review may ask for one."
)
_PAGES = {
    r"drive\.google\.com/(file|open|drive)\b": (
        "Google Drive, not a video; footage goes as gdown_url."
    ),
    r"(.+\.)?youtu(be\.com|\.be)/": "YouTube, not a video; send the file itself.",
    r"(.+\.)?dropbox\.com/(?!.*[?&](dl|raw)=1)": "Dropbox, not a video; end the URL with dl=1.",
}
"""What to do about URLs, without their scheme, that lead to the page of a video."""


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
    problems = []
    if not (request.lipsync_input or request.gdown_url):
        problems.append((Severity.FATAL, "footage", _NO_FOOTAGE, "none"))
    if not request.consent_video:
        problems.append((Severity.WARNING, "consent", _NO_CONSENT, "none"))
    for field in ("lipsync_input", "consent_video", "gdown_url", "webhook_url"):
        url = getattr(request, field)
        if isinstance(url, str):
            warnings = _problems_of(url, field, live=live)
            problems += [(Severity.WARNING, field, f"{field}: {text}", url) for text in warnings]
    return tuple(
        Finding(check, severity, message, value, "a video that the API can fetch", Source.SEEN)
        for severity, check, message, value in problems
    )


def _problems_of(url: str, field: str, *, live: bool) -> Iterator[str]:
    parts = urlsplit(url)
    host = (parts.hostname or "").removesuffix(".")
    if len(url) > LONGEST_URL:
        yield f"this URL is longer than {LONGEST_URL} characters; give a shorter one."
    if live and _is_private(host):
        yield f"only this machine or network can reach {host}; give a public URL."
    if field == "gdown_url" and host not in ("drive.google.com", "docs.google.com"):
        yield "this is no link of Google Drive; give other URLs as lipsync_input."
    if field in ("lipsync_input", "consent_video"):
        address = f"{host}{parts.path}?{parts.query}"
        yield from (
            f"this is a page of {way}" for page, way in _PAGES.items() if re.match(page, address)
        )


def _is_private(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal", ".lan"))
