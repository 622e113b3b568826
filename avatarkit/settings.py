"""Settings: arguments > environment ``AVATARKIT_*`` > ``.env`` > ``.streamlit/secrets.toml``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import quote, urlsplit

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from avatarkit.errors import ConfigError

DEFAULT_BASE_URL = "https://api.creatify.ai"
SECRETS_FILE = Path(".streamlit") / "secrets.toml"
ENV_FILE = Path(".env")
# Editors on Windows begin a file with a byte order mark, which is no part of the first name.
_ENCODING = "utf-8-sig"


Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class _SecretsToml(PydanticBaseSettingsSource):
    """``[avatarkit]`` of the secrets file, or ``AVATARKIT_…`` at its top level."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError  # pragma: no cover - __call__ gives all at once

    def __call__(self) -> dict[str, Any]:
        try:
            content = tomllib.loads(SECRETS_FILE.read_text(encoding=_ENCODING))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, UnicodeDecodeError):
            raise ConfigError(
                f"{SECRETS_FILE} cannot be read; check its permissions, and save it as UTF-8."
            ) from None
        except tomllib.TOMLDecodeError:
            # The parser's own message could quote the line with the key in it.
            raise ConfigError(
                f"{SECRETS_FILE} is not valid TOML; compare it with secrets.example.toml."
            ) from None
        prefix = "avatarkit_"
        top = {
            key.lower().removeprefix(prefix): value
            for key, value in content.items()
            if key.lower().startswith(prefix)
        }
        table = content.get("avatarkit", {})
        named = table.items() if isinstance(table, dict) else ()
        return {**top, **{key.lower(): value for key, value in named}}


class Settings(BaseSettings):
    """Everything that can be set; without keys it stands for the sandbox.

    Times that end in ``_s`` are wall seconds. Raises ``ConfigError``, one sentence without any
    key in it, for whatever does not fit.
    """

    model_config = SettingsConfigDict(
        env_prefix="AVATARKIT_",
        env_file=ENV_FILE,
        env_file_encoding=_ENCODING,
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
        frozen=True,
    )

    api_id: str | None = None
    api_key: SecretStr | None = None
    base_url: str = DEFAULT_BASE_URL
    # Not in the repr, as it can hold a password.
    database_url: str | None = Field(default=None, repr=False)
    data_dir: Path = Field(default_factory=lambda: Path(platformdirs.user_data_dir("avatarkit")))
    sandbox_speed: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = 2400.0
    connect_timeout_s: Seconds = 10.0
    read_timeout_s: Seconds = 60.0
    write_timeout_s: Seconds = 300.0
    pool_timeout_s: Seconds = 30.0

    def __init__(self, **values: Any) -> None:
        unknown = sorted(set(values) - set(type(self).model_fields))
        if unknown:
            raise ConfigError(f"There is no setting {unknown[0]!r}; check its spelling.")
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(_sentence(error)) from None
        except (OSError, UnicodeDecodeError):
            # The decoder's own message holds the bytes, the key among them.
            raise ConfigError(
                f"{ENV_FILE} cannot be read; check its permissions, and save it as UTF-8."
            ) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Where values come from, the strongest first."""
        return init_settings, env_settings, dotenv_settings, _SecretsToml(settings_cls)

    @field_validator("api_id", "api_key", mode="before")
    @classmethod
    def _clean_key(cls, value: Any) -> Any:
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if not isinstance(value, str):
            return value
        value = value.strip()
        if not (value.isascii() and value.isprintable()) or " " in value:
            raise ValueError("has characters that no key has; copy it again")
        return value or None

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        return check_base_url(value)

    @field_validator("data_dir")
    @classmethod
    def _expand(cls, value: Path) -> Path:
        try:
            return value.expanduser()
        except RuntimeError:
            raise ValueError("data_dir begins with ~ but names nobody's home") from None

    @model_validator(mode="after")
    def _both_keys(self) -> Self:
        if (self.api_id is None) != (self.api_key is None):
            missing = "api_id" if self.api_id is None else "api_key"
            other = "api_key" if missing == "api_id" else "api_id"
            raise ValueError(
                f"{missing} is missing while {other} is set: set AVATARKIT_{missing.upper()} too, "
                f"or unset AVATARKIT_{other.upper()} to use the sandbox"
            )
        return self

    @property
    def is_sandbox(self) -> bool:
        """True when there are no keys: the API is then the sandbox on this machine."""
        return self.api_key is None

    @property
    def folder(self) -> Path:
        """Where this mode keeps its files: ``sandbox`` or ``live`` within ``data_dir``."""
        return self.data_dir / ("sandbox" if self.is_sandbox else "live")

    @property
    def store_url(self) -> str:
        """The database that is used: ``database_url``, or a SQLite file in ``folder``."""
        # A ? in a path would begin the options of a URL.
        path = quote(str(self.folder / "avatarkit.db"), safe="/\\: ")
        return self.database_url or f"sqlite:///{path}"


def _sentence(error: ValidationError) -> str:
    item = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in item["loc"])
    text = item["msg"].removeprefix("Value error, ").rstrip(".")
    if not field or text.startswith(field):
        return f"{text}."
    return f"{field} {text[0].lower() + text[1:]}; set AVATARKIT_{field.upper()} to another value."


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
