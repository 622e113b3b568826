"""Read settings: arguments, environment, ``.env``, ``.streamlit/secrets.toml``, in this order."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, urlsplit

import platformdirs
from pydantic import (
    BaseModel,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from avatarkit.env_files import Found, find_settings
from avatarkit.errors import ConfigError
from avatarkit.models import field_errors
from avatarkit.paths import pasted_path, unquote
from avatarkit.text import WEBHOOK_PATH

DEFAULT_BASE_URL = "https://api.creatify.ai"
_EXAMPLE = "https://avatars.example.com"
LONGEST_PUBLIC_URL = 200 - len(WEBHOOK_PATH) - 43
"""Characters that are left for it by the contract's limit, the path, and a token in base64."""
# What else begins with AVATARKIT_ and is no setting.
_OTHER_NAMES = ("env_file", "chromium")

LogLevel = Literal["debug", "info", "warning", "error"]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Settings(BaseModel):
    """All settings of avatarkit; without keys the sandbox is used.

    What is not given is read from the environment and from files; see ``find_settings``.

    Raises:
        ConfigError: A setting does not fit, or a base URL comes from another file than the keys.
            The message is one sentence without any key.
    """

    model_config = {"extra": "ignore", "hide_input_in_errors": True, "frozen": True}

    api_id: str | None = None
    """The API id, from the account's settings page; set together with ``api_key``, or neither."""

    api_key: SecretStr | None = None
    """The API key, from the account's settings page. Never shown in a repr, log or error."""

    base_url: str = DEFAULT_BASE_URL
    """Scheme and host of the API, without a path."""

    database_url: str | None = Field(default=None, repr=False)  # it can hold a password
    """SQLAlchemy's URL of the database with the log; a SQLite file in ``folder`` by default."""

    data_dir: Path = Field(default_factory=lambda: Path(platformdirs.user_data_dir("avatarkit")))
    """The folder of databases, uploads and the sandbox's files."""

    public_url: str | None = None
    """Scheme and host at which the API reaches the app, for webhooks; None without such an address.

    ``https``, or ``http`` on this machine's loopback."""

    allowed_hosts: tuple[str, ...] = ()
    """Host names, without port, at which the app answers beside this machine's own and its
    ``public_url``; one text has commas between them."""

    authenticated_by_proxy: bool = False
    """Whether something in front of the app lets in only people who have logged in, so that it may
    be served at other addresses than 127.0.0.1 without a login of its own."""

    log_file: Path | None = None
    """The file to which ``track`` writes what happens; None for no file."""

    log_level: LogLevel = "info"
    """The lowest level of what it writes: ``debug``, ``info``, ``warning`` or ``error``."""

    keep_uploads_h: Annotated[float, Field(gt=0, le=8_760, allow_inf_nan=False)] = 24.0
    """Wall hours that the app keeps an upload that no submission needs."""

    backups: Annotated[int, Field(ge=0, le=1_000)] = 5
    """Daily backups of a SQLite database that are kept; 0 makes none."""

    sandbox_speed: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = 2400.0
    """Seconds of the sandbox's clock for each wall second."""

    sandbox_plan: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    """Custom avatars that the plan of the sandbox allows."""

    calls_per_hour: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = 600.0
    """The most calls of the API that following avatars takes, an hour of the session's clock."""

    notify: SecretStr | None = None
    """Apprise URLs to which messages go: by mail, Slack, Teams, ntfy and others. Never shown."""

    connect_timeout_s: Seconds = 10.0
    """Wall seconds to connect to the API."""

    read_timeout_s: Seconds = 60.0
    """Wall seconds that an answer may take once the request has been sent."""

    write_timeout_s: Seconds = 300.0
    """Wall seconds to send one part of an upload, and to wait for the answer to a create."""

    _found: Found
    """What the environment and files set."""

    def __init__(self, **values: Any) -> None:
        unknown = sorted(set(values) - set(type(self).model_fields))
        if unknown:
            raise ConfigError(f"There is no setting {unknown[0]!r}; check its spelling.")
        found = find_settings()
        origins = {name: place for place in reversed(found.values) for name in found.values[place]}
        given = {name: found.values[place][name] for name, place in origins.items()} | values
        # Docker's --env-file and cmd.exe keep quotes as part of a value.
        texts = {name: unquote(value) for name, value in given.items() if isinstance(value, str)}
        try:
            super().__init__(**given | texts)
        except ValidationError as error:
            raise ConfigError(" ".join([_sentence(error), *_notices(found)])) from None
        self._found = found
        origins |= dict.fromkeys(values, "the arguments")
        place = origins.get("base_url")
        keys_at = {origins.get("api_id"), origins.get("api_key")}
        is_apart = place in found.files and keys_at != {place}
        if is_apart and self.api_key and self.base_url != DEFAULT_BASE_URL:
            raise ConfigError(
                f"base_url is set in {place}, but the keys are not; set AVATARKIT_BASE_URL where "
                "both keys are set, so that they are sent to no other server by mistake."
            )

    @field_validator("api_id", "api_key", mode="before")
    @classmethod
    def _clean_key(cls, value: Any) -> Any:
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if not isinstance(value, str):
            return value
        value = unquote(value)
        if not (value.isascii() and value.isprintable()) or " " in value:
            raise ValueError("has characters that no key has; copy it again")
        return value or None

    @field_validator("notify", mode="before")
    @classmethod
    def _no_addresses(cls, value: Any) -> Any:
        return None if isinstance(value, str) and not value.strip(" ,;\r\n\t") else value

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        return check_base_url(value)

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        return check_public_url(value) if value else None

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _check_hosts(cls, value: Any) -> Any:
        names = value.split(",") if isinstance(value, str) else value
        if not isinstance(names, (list, tuple)):
            return value
        return tuple(check_host(name) for name in map(str, names) if name.strip())

    @field_validator("data_dir", "log_file", mode="before")
    @classmethod
    def _expand(cls, value: Any, info: ValidationInfo) -> Any:
        if value == "" and info.field_name == "log_file":
            return None
        path = pasted_path(str(value)) if isinstance(value, (str, Path)) else value
        if str(path).startswith("~"):
            raise ValueError(f"{info.field_name} begins with ~ but not with the home of a user")
        return path

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _both_keys(self) -> Self:
        if (self.api_id is None) != (self.api_key is None):
            missing, other = ("api_id", "api_key") if self.api_id is None else ("api_key", "api_id")
            raise ValueError(
                f"{missing} is missing while {other} is set: set AVATARKIT_{missing.upper()} too, "
                f"or unset AVATARKIT_{other.upper()} to use the sandbox"
            )
        return self

    @property
    def notices(self) -> list[str]:
        """A sentence for each misspelt name and each file that was not read."""
        return _notices(self._found)

    @property
    def found(self) -> str:
        """Where settings were found, and where files of settings were looked for."""
        places = " and ".join(self._found.values) or "no place"
        return f"Settings from {places}; looked {self._found.looked}."

    @property
    def files(self) -> list[str]:
        """The files that set anything."""
        return self._found.files

    @property
    def is_sandbox(self) -> bool:
        """Whether the sandbox on this machine is used: there are no keys."""
        return self.api_key is None

    @property
    def folder(self) -> Path:
        """The folder of this mode's files: ``sandbox`` or ``live`` within ``data_dir``."""
        return self.data_dir / ("sandbox" if self.is_sandbox else "live")

    @property
    def store_url(self) -> str:
        """The URL of the database: ``database_url``, or a SQLite file in ``folder``."""
        # A ? in a path would begin the options of the URL.
        path = quote(str(self.folder / "avatarkit.db"), safe="/\\: ")
        return self.database_url or f"sqlite:///{path}"


def _sentence(error: ValidationError) -> str:
    field, message = field_errors(error)[0]
    if not field or message.startswith(field):
        return f"{message}."
    message = message[0].lower() + message[1:]
    return f"{field} {message}; set AVATARKIT_{field.upper()} to another value."


def _notices(found: Found) -> list[str]:
    import difflib

    known = {*Settings.model_fields, *_OTHER_NAMES}
    notices = [
        f"{path} belongs to another user and was not read; take it over, or name it in "
        "AVATARKIT_ENV_FILE."
        for path in found.not_owned
    ]
    for place, given in found.values.items():
        for name in sorted(given.keys() - known):
            nearest = difflib.get_close_matches(name, sorted(known), n=1)
            hint = f"did you mean AVATARKIT_{nearest[0].upper()}?" if nearest else "it is not used."
            notices.append(f"AVATARKIT_{name.upper()} in {place} is no setting; {hint}")
    return notices


def check_base_url(value: str) -> str:
    """Return the origin of a URL in lower case, without a slash at the end.

    The log identifies an account by a fingerprint of its base URL, so that needs one spelling.

    Raises:
        ValueError: It is not scheme and host alone; the message is one sentence.
    """
    origin = value.strip().rstrip("/").lower()
    fault = _fault_of_origin(origin)
    if fault:
        example = f"give only scheme and host, such as {DEFAULT_BASE_URL}"
        raise ValueError(f"base_url {fault}; {example}")
    return origin


def check_public_url(value: str) -> str:
    """Return the origin at which webhooks arrive in lower case, without a slash at the end.

    Raises:
        ValueError: It is not scheme and host alone, is not encrypted, or makes a webhook's URL of
            more than 200 characters, which is the contract's limit; the message is one sentence.
    """
    origin = value.strip().rstrip("/").lower()
    fault = _fault_of_origin(origin)
    if fault is None and not origin.isascii():
        fault = "has letters outside ASCII; write its host as xn--…"
    if fault is None and origin.startswith("http:") and not is_loopback(origin):
        fault = "must begin with https, as the webhooks' token is part of the URL"
    if fault is None and len(origin) > LONGEST_PUBLIC_URL:
        fault = (
            f"is longer than {LONGEST_PUBLIC_URL} characters, so that the URL of a webhook would "
            "have more than the 200 that the API takes"
        )
    if fault:
        raise ValueError(f"public_url {fault}; give only scheme and host, such as {_EXAMPLE}")
    return origin


def check_host(value: str) -> str:
    """Return a host name or address in lower case, an IPv6 address without brackets.

    Raises:
        ValueError: It is more or less than a host; the message is one sentence.
    """
    name = value.strip().lower().removesuffix(".")
    with suppress(ValueError):
        return str(ip_address(name.removeprefix("[").removesuffix("]")))
    if re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", name) is None:
        raise ValueError(
            "allowed_hosts holds what is no host; give host names alone, without scheme, port or "
            "*, with commas between them, such as avatars.example.com"
        )
    return name


def _fault_of_origin(origin: str) -> str | None:
    import httpx

    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https"):
        return "has no scheme http or https"
    if not parts.hostname or port == 0 or any(c.isspace() for c in origin):
        return "has no host"
    try:
        _ = httpx.URL(origin).host  # httpx decodes a host only when it is asked for
        parts.hostname.encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        return "has no host that can be looked up"
    if parts.username or parts.password:
        return "must not hold a user or password"
    if parts.path or parts.query or parts.fragment or origin.endswith(("?", "#")):
        return "has a path or more"
    return None


def is_loopback(url_or_host: str) -> bool:
    """Return whether a URL, ``//host:port`` or bare host is this machine's loopback address.

    True for 127.0.0.0/8, ::1, their IPv4-mapped forms, and ``localhost``, also with a dot at its
    end. Other names are not looked up.
    """
    try:
        host = (urlsplit(url_or_host).hostname or "") if "//" in url_or_host else url_or_host
    except ValueError:
        return False
    host = host.lower().removesuffix(".")
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
