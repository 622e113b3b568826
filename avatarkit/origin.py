"""Which server is asked: scheme and host of the API, in one spelling."""

from __future__ import annotations

from urllib.parse import urlsplit

DEFAULT_BASE_URL = "https://api.creatify.ai"


def check_base_url(value: str) -> str:
    """The origin alone, in lower case; ``ValueError``, one sentence, for whatever is not one.

    Lower case, as the rows of the log belong to a fingerprint of it: one account, one spelling.
    """
    text = value.strip().rstrip("/").lower()
    example = f"give only scheme and host, such as {DEFAULT_BASE_URL}"
    try:
        parts = urlsplit(text)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError(f"base_url is not a URL; {example}") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"base_url has no scheme http or https; {example}")
    if not parts.hostname or not port_is_fine or any(c.isspace() for c in text):
        raise ValueError(f"base_url has no host; {example}")
    if not _can_be_asked(text):
        raise ValueError(f"base_url has no host that can be looked up; {example}")
    if parts.username or parts.password:
        raise ValueError(f"base_url must not hold a user or password; {example}")
    if parts.path or parts.query or parts.fragment or text.endswith(("?", "#")):
        raise ValueError(f"base_url has a path or more; {example}")
    return text


def _can_be_asked(url: str) -> bool:
    import httpx

    try:
        # Asked for, as httpx decodes a host only then.
        _ = httpx.URL(url).host
        (urlsplit(url).hostname or "").encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        return False
    return True
