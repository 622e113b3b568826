"""A certificate that no one trusts, for TLS servers on loopback, and the context of such a server.

It is for 127.0.0.1 and localhost, self-signed, valid from 2020 to 2119, and used nowhere else.
"""

from __future__ import annotations

import ssl
from pathlib import Path

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBcjCCARegAwIBAgIBATAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA5hdmF0YXJr
aXQtdGVzdDAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowGTEXMBUG
A1UEAwwOYXZhdGFya2l0LXRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARm
1yOYNcJkgo/EnfNV7anIRHcqOUVEzoIldi4RBT+p7acvJEKjVlII+Um7la43oNu8
ndLhU3PtSfMgrlZc1lYRo04wTDAPBgNVHRMBAf8EBTADAQH/MBoGA1UdEQQTMBGH
BH8AAAGCCWxvY2FsaG9zdDAdBgNVHQ4EFgQUdFlprL3s8a0Tg8Rx1kAT+8Gtv/Uw
CgYIKoZIzj0EAwIDSQAwRgIhAMztB7Awj48w8BVyIWqZjN3MPj3zxzN38uaorflV
CZ6LAiEA/hlzls72Zh2kDiJh7TgH7zF6XjEJ3V45Up6ZJYJhpDY=
-----END CERTIFICATE-----
"""
_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgZ0yViuMCkbP9Qz9O
ARCl9ZH2vRzCPUNW1jGGxhDzSgShRANCAARm1yOYNcJkgo/EnfNV7anIRHcqOUVE
zoIldi4RBT+p7acvJEKjVlII+Um7la43oNu8ndLhU3PtSfMgrlZc1lYR
-----END PRIVATE KEY-----
"""


def server_context(folder: Path) -> ssl.SSLContext:
    """Return the TLS context of a server; the certificate is written to ``folder``."""
    path = folder / "certificate.pem"
    path.write_text(CERTIFICATE + _KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
