"""Check the host of the API, the keys, and this machine's clock, by one call of the quota."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from avatarkit.api.client import Client
from avatarkit.api.connections import find_proxy, tls_context
from avatarkit.api.transport import collect_dates
from avatarkit.clock import Clock
from avatarkit.errors import APIError, AuthError, ConfigError, RateLimited, StatusError
from avatarkit.errors import UnexpectedAnswer as Unexpected
from avatarkit.settings import Settings, is_loopback
from avatarkit.store.clock_skew import PRECISION, TOLERANCE, offset_bounds, offset_of
from avatarkit.text import format_hours
from avatarkit.tracking.diagnosis.check import Check, Outcome

CALL_S = 12.0
"""Wall seconds for the call of the quota."""
PROBE_S = 4.0
"""Wall seconds for each step of a connection that is opened to look at its certificate."""
EXPIRES_SOON = timedelta(days=14)
FAR_OFF = timedelta(minutes=1)
"""A clock that is off by more makes stage times wrong by as much."""

_HOUR = timedelta(hours=1)
_SOMETHING_ELSE = (
    "Check base_url and the proxy; on a network with a login page, sign in there first."
)


def check_network(settings: Settings, clock: Clock) -> Iterator[Check]:
    """Yield the checks ``host``, ``keys`` and ``clock``."""
    if settings.is_sandbox:
        yield Check("keys", Outcome.OK, "None are set: the sandbox on this machine is used.")
        return
    try:
        client = Client(settings=settings, tries=2)
    except ConfigError as error:
        yield Check("host", Outcome.WRONG, str(error))
        return
    with client, collect_dates() as dates:
        asked_at, asked_s = clock.now(), clock.monotonic()
        try:
            quota = client.persona_quota(deadline_s=CALL_S)
        except APIError as error:
            yield from _failure(client, error)
        else:
            yield _host(client, clock.monotonic() - asked_s, clock.now())
            limit = f"of {quota.max_count}" if quota.max_count > 0 else "without a limit"
            end = client.api_id[-4:] if len(client.api_id) > 8 else ""
            sentence = f"The API takes them; avatars of API id …{end}: {quota.current_count}"
            yield Check("keys", Outcome.OK, f"{sentence} {limit}.")
        yield _clock(client, asked_at, clock.now(), dates)


def _failure(client: Client, error: APIError) -> Iterator[Check]:
    if isinstance(error, AuthError):
        yield Check("host", Outcome.OK, f"The API answers at {client.base_url}.")
        yield Check("keys", Outcome.WRONG, str(error))
        return
    if isinstance(error, RateLimited):
        yield Check("host", Outcome.OK, f"Something answers at {client.base_url}.")
        yield Check("keys", Outcome.WARNING, f"Not tried: {error}")
        return
    answered = isinstance(error, StatusError | Unexpected) and not error.from_api
    yield Check("host", Outcome.WRONG, str(error), _SOMETHING_ELSE if answered else "")
    yield Check("keys", Outcome.WARNING, "Not tried, as the API did not answer.")


def _host(client: Client, took_s: float, now: datetime) -> Check:
    url = client.base_url
    if client.is_sandbox:
        sentence = f"A sandbox of avatarkit answers at {url}, not the live API."
        return Check("host", Outcome.OK, sentence)
    proxy = find_proxy(url, None)
    way, expires_at = "", None
    if proxy is not None:
        way = f", through the proxy {proxy.url.host}:{proxy.url.port}"
    else:
        with suppress(OSError, ValueError, ConfigError):  # the call itself has worked
            way, expires_at = _connection(url)
    sentence = f"{url} answers in {took_s:.2f} s{way}."
    if urlsplit(url).scheme == "http" and not is_loopback(url):
        fix = "Begin AVATARKIT_BASE_URL with https://, as the keys travel unencrypted."
        return Check("host", Outcome.WARNING, sentence, fix)
    if expires_at is not None and expires_at - now < EXPIRES_SOON:
        fix = f"Its certificate expires on {expires_at:%Y-%m-%d}: tell who runs it."
        return Check("host", Outcome.WARNING, sentence, fix)
    return Check("host", Outcome.OK, sentence)


def _connection(url: str) -> tuple[str, datetime | None]:
    """Open a connection of its own; return how it went, and when the certificate expires."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    with socket.create_connection((host, port), PROBE_S) as connection:
        address = connection.getpeername()[0]
        way = f" from {address}" if address != host else ""
        if parts.scheme != "https":
            return way, None
        with tls_context().wrap_socket(connection, server_hostname=host) as secured:
            certificate = secured.getpeercert() or {}
            expires_s = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
            expires_at = datetime.fromtimestamp(expires_s, UTC)
            return f"{way} with {secured.version()}", expires_at


def _clock(
    client: Client, asked_at: datetime, answered_at: datetime, dates: list[datetime]
) -> Check:
    if client.is_sandbox:
        return Check("clock", Outcome.OK, "Not compared: a sandbox has a clock of its own.")
    bounds = offset_bounds(asked_at, answered_at, dates)
    if bounds is None:
        sentence = "Not compared, as no answer of the API had a Date header."
        return Check("clock", Outcome.WARNING, sentence)
    offset = offset_of(bounds)
    if not offset:
        seconds = (TOLERANCE + PRECISION).total_seconds()
        return Check("clock", Outcome.OK, f"Within {seconds:.0f} s of the API's.")
    direction = "behind" if offset > timedelta(0) else "ahead of"
    sentence = f"This machine's clock is {format_hours(abs(offset) / _HOUR)} {direction} the API's."
    outcome = Outcome.WRONG if abs(offset) > FAR_OFF else Outcome.WARNING
    return Check("clock", outcome, sentence, "Set it, as with timedatectl set-ntp true.")
