"""Turn a failure of the connection into an exception whose sentence names the cause."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator

import httpx

from avatarkit.api.connections import AnswerTooLarge
from avatarkit.errors import APIError, ConnectionFailed, RequestTimeout, UnexpectedAnswer

MAY_HAVE_CREATED = "it may have created the avatar nevertheless"
"""Said of a failed create in place of "try again", which could make a second avatar."""
PROXY_LOGIN = (
    "asks for a user name and a password (407); write them into HTTPS_PROXY or HTTP_PROXY, as in "
    "http://user:password@host:port"
)

# Failures before the first byte of the request can have left.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
# What OpenSSL calls an answer that is not TLS.
_NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"}
_WRONG_DATE = (9, 10)  # OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED


def connection_failed(
    error: httpx.HTTPError,
    method: str,
    url: str,
    explain: Callable[[], str | None] | None = None,
) -> APIError:
    """Return the exception for a call that got no answer, or one that was not read.

    Args:
        error: The failure; ``error.request.extensions["peer"]`` is the (host, port) to which the
            connection goes, if that is known.
        method: The method of the call.
        url: The URL of the call.
        explain: See ``Client``.
    """
    if isinstance(error, AnswerTooLarge):
        message = f"The API's answer {error}; check base_url, and report this if it is right."
        return UnexpectedAnswer(message, method=method, url=url, from_api=False)
    maybe_sent = not isinstance(error, _NEVER_SENT)
    origin = f"{error.request.url.scheme}://{error.request.url.netloc.decode()}"
    advice = MAY_HAVE_CREATED if maybe_sent and method == "POST" else "try again"
    kind = ConnectionFailed
    if isinstance(error, httpx.TimeoutException):
        kind = RequestTimeout
        more = "" if advice == MAY_HAVE_CREATED else ", or raise the timeouts"
        message = f"{origin} did not answer in time; {advice}{more}."
    elif maybe_sent:
        message = f"The connection to {origin} broke off; {advice}."
    else:
        message = (explain and explain()) or _unreachable(error, origin)
    return kind(message, method=method, url=url, maybe_sent=maybe_sent)


def is_permanent(error: BaseException) -> bool:
    """Return whether a connection that failed would fail the same way at the next attempt."""
    return any(
        isinstance(cause, ssl.SSLCertVerificationError)
        or (isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS)
        for cause in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    # httpx and httpcore each wrap the error of the socket.
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _unreachable(error: httpx.HTTPError, origin: str) -> str:
    """Return the sentence for a connection that was not made."""
    host = error.request.url.host
    peer_host, port = error.request.extensions.get("peer") or (host, None)
    peer = f"{peer_host}:{port}" if port else origin
    setting = "base_url"
    if peer_host != host:
        peer, setting = f"the proxy {peer}", "HTTPS_PROXY or HTTP_PROXY"
    if isinstance(error, httpx.ProxyError):
        if str(error).startswith("407"):
            return f"T{peer[1:]} {PROXY_LOGIN}."
        return (
            f"T{peer[1:]} refused the connection to {host} ({str(error)[:100]}); ask who runs it, "
            f"or set NO_PROXY={host} if it is not needed."
        )
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            date = "check the date of this machine, or " * (cause.verify_code in _WRONG_DATE)
            return (
                f"The certificate of {host} is not trusted ({cause.verify_message.rstrip('.')}); "
                f"{date}set SSL_CERT_FILE to a file with the certificates to trust, such as that "
                "of your company's proxy."
            )
        if isinstance(cause, ssl.SSLError):
            if cause.reason in _NOT_TLS:
                return f"{origin} does not speak TLS; check base_url, or begin it with http://."
            return f"No secure connection to {origin} comes about ({cause.reason}); try again."
        if isinstance(cause, socket.gaierror):
            return f"The name {peer_host} is not known; check {setting} and the network."
        if isinstance(cause, ConnectionRefusedError):
            return f"No server listens at {peer}; check host and port in {setting}."
    return f"No connection to {peer} comes about; check the network and {setting}."
