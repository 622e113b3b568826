"""Settings: where they come from, what is refused, and that no key ever shows."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from avatarkit import env_files
from avatarkit.errors import ConfigError
from avatarkit.settings import DEFAULT_BASE_URL, Settings, check_base_url, is_loopback

CANARY = "kanarienvogel-7f3a9c51"
KEYS = {"api_id": "id-1", "api_key": CANARY}


@pytest.fixture(autouse=True)
def _files_of_this_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of settings are read, from the test's own folder alone."""
    monkeypatch.delenv("AVATARKIT_ENV_FILE")
    monkeypatch.setattr(env_files, "clone_folder", lambda: None)
    Path(".git").mkdir()


def refusal(**values: Any) -> str:
    """The sentence that refuses these arguments; the canary is in no form of the error."""
    with pytest.raises(ConfigError) as caught:
        Settings(**values)
    assert_silent(caught.value)
    return str(caught.value)


def assert_silent(error: BaseException) -> None:
    shown = [str(error), repr(error), "".join(traceback.format_exception(error))]
    assert not any(CANARY in text for text in shown)


def write(path: str, text: str | bytes) -> None:
    """A file of the test's own working folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(text if isinstance(text, bytes) else text.encode())


# Where values come from


def test_without_keys_it_is_the_sandbox() -> None:
    """Nothing set at all gives the sandbox, the default base URL and a SQLite file."""
    settings = Settings()
    assert settings.is_sandbox
    assert settings.base_url == DEFAULT_BASE_URL
    assert settings.folder == settings.data_dir / "sandbox"
    assert settings.store_url == f"sqlite:///{settings.folder / 'avatarkit.db'}"


def test_with_keys_it_is_the_live_account() -> None:
    """Both keys give the live account, with a folder and a database apart from the sandbox's."""
    settings = Settings(**KEYS)
    assert not settings.is_sandbox
    assert settings.api_key == SecretStr(CANARY)
    assert settings.folder == settings.data_dir / "live"
    assert settings.store_url != Settings().store_url


def test_data_folder_is_the_platforms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Unless it is set the data folder is where the platform keeps a user's data."""
    monkeypatch.delenv("AVATARKIT_DATA_DIR")
    monkeypatch.setattr(platformdirs, "user_data_dir", lambda name: str(tmp_path / name))
    assert Settings().data_dir == tmp_path / "avatarkit"


def test_the_stronger_source_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments win over the environment, it over .env, and that over the secrets file."""
    write(".streamlit/secrets.toml", '[avatarkit]\nbase_url = "https://secrets.example"\n')
    assert Settings().base_url == "https://secrets.example"
    write(".env", "AVATARKIT_BASE_URL=https://dotenv.example\n")
    assert Settings().base_url == "https://dotenv.example"
    monkeypatch.setenv("AVATARKIT_BASE_URL", "https://environment.example")
    assert Settings().base_url == "https://environment.example"
    assert Settings(base_url="https://argument.example").base_url == "https://argument.example"


def test_sources_complete_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two keys may come from two places."""
    write(".streamlit/secrets.toml", f'AVATARKIT_API_KEY = "{CANARY}"\n')
    monkeypatch.setenv("AVATARKIT_API_ID", "id-1")
    assert not Settings().is_sandbox


@pytest.mark.parametrize(
    "text",
    [
        f'[avatarkit]\napi_id = "id-1"\napi_key = "{CANARY}"\n',
        f'[avatarkit]\nAPI_ID = "id-1"\nAPI_KEY = "{CANARY}"\n',
        f'AVATARKIT_API_ID = "id-1"\navatarkit_api_key = "{CANARY}"\n',
        f'\ufeff[avatarkit]\napi_id = "id-1"\napi_key = "{CANARY}"\n[other]\napi_id = "x"\n',
    ],
    ids=["table", "upper case", "top level", "byte order mark"],
)
def test_secrets_file_may_be_written_in_several_ways(text: str) -> None:
    """Keys are read from a table or from the top level, in either case, with or without a BOM."""
    write(".streamlit/secrets.toml", text)
    settings = Settings()
    assert settings.api_id == "id-1"
    assert settings.api_key == SecretStr(CANARY)


def test_secrets_of_others_are_ignored() -> None:
    """A secrets file that has nothing for us, or a name where we expect a table, is no error."""
    write(".streamlit/secrets.toml", 'avatarkit = "a string"\n[connections.sql]\nurl = "x"\n')
    assert Settings().is_sandbox


def test_secrets_folder_may_be_a_file() -> None:
    """A file called .streamlit has no secrets in it."""
    write(".streamlit", "x")
    assert Settings().is_sandbox


def test_dotenv_of_a_windows_editor() -> None:
    """A byte order mark does not hide the first name of .env."""
    write(".env", f"\ufeffAVATARKIT_API_ID=id-1\nAVATARKIT_API_KEY={CANARY}\nOTHER=1\n")
    assert Settings().api_id == "id-1"


def test_the_examples_stand_for_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two example files, copied and not filled in, are read and mean the sandbox."""
    root = Path(__file__).parent.parent
    write(".env", (root / ".env.example").read_bytes())
    write(".streamlit/secrets.toml", (root / ".streamlit" / "secrets.example.toml").read_bytes())
    assert Settings() == Settings(api_id=None, api_key=None)
    assert Settings().is_sandbox


@pytest.mark.parametrize("blank", ["", "  "])
def test_blank_keys_are_no_keys(monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    """Keys that were left blank in the environment mean the sandbox."""
    monkeypatch.setenv("AVATARKIT_API_ID", blank)
    monkeypatch.setenv("AVATARKIT_API_KEY", blank)
    assert Settings().is_sandbox


def test_keys_are_stripped() -> None:
    """White space that came along when a key was copied is not part of it."""
    settings = Settings(api_id=" id-1\n", api_key=SecretStr(f"\t{CANARY} "))
    assert settings.api_id == "id-1"
    assert settings.api_key == SecretStr(CANARY)


@pytest.mark.parametrize("host", ["xn--", "a..b", "a" * 64 + ".com", "-é.com"])
def test_a_host_that_no_lookup_takes_is_refused(host: str) -> None:
    """It would otherwise fail at the first call, outside of the tree of errors."""
    with pytest.raises(ValueError, match="base_url has no host that can be looked up"):
        check_base_url(f"https://{host}")


def test_database_url_wins_over_the_file() -> None:
    """A database URL is used as it is."""
    url = "postgresql+psycopg://u:p@host/db"
    assert Settings(database_url=url).store_url == url


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``~`` in the data folder stands for the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert Settings(data_dir="~/avatars").data_dir == tmp_path / "avatars"


def test_settings_cannot_be_changed() -> None:
    """What was checked stays as it was checked."""
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.base_url = "nonsense"


# What is refused


@pytest.mark.parametrize(
    ("given", "missing"), [("api_id", "api_key"), ("api_key", "api_id")], ids=["no key", "no id"]
)
def test_one_key_alone_is_refused(given: str, missing: str) -> None:
    """One key without the other is a sentence that names the missing one and both ways out."""
    assert refusal(**{given: CANARY}) == (
        f"{missing} is missing while {given} is set: set AVATARKIT_{missing.upper()} too, "
        f"or unset AVATARKIT_{given.upper()} to use the sandbox."
    )


@pytest.mark.parametrize("key", [f"{CANARY} x", f"{CANARY}\nx", f"{CANARY}é", f"{CANARY}\x00"])
def test_key_with_odd_characters_is_refused(key: str) -> None:
    """A key with a space, a line break or an accent inside would break every call."""
    assert refusal(api_id="id-1", api_key=key) == (
        "api_key has characters that no key has; copy it again; "
        "set AVATARKIT_API_KEY to another value."
    )


def test_key_of_another_type_is_refused() -> None:
    """A number is no key."""
    assert refusal(api_id="id-1", api_key=12345).startswith(
        "api_key input should be a valid string"
    )


def test_misspelt_argument_is_refused() -> None:
    """An argument that does not exist is named, without its value."""
    assert refusal(api_kee=CANARY) == "There is no setting 'api_kee'; check its spelling."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sandbox_plan", "-1"),
        ("sandbox_plan", "3.5"),
        ("sandbox_speed", "0"),
        ("sandbox_speed", "-1"),
        ("sandbox_speed", "nan"),
        ("sandbox_speed", "inf"),
        ("sandbox_speed", "1000001"),
        ("sandbox_speed", "fast"),
        ("connect_timeout_s", "0"),
        ("read_timeout_s", "-3"),
        ("write_timeout_s", "soon"),
    ],
)
def test_number_out_of_range_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A number that does not fit is refused with the name of the variable to set."""
    monkeypatch.setenv(f"AVATARKIT_{name.upper()}", value)
    text = refusal(**KEYS)
    assert text.startswith(f"{name} input should be")
    assert text.endswith(f"set AVATARKIT_{name.upper()} to another value.")


def test_data_dir_of_an_unknown_user() -> None:
    """A data folder in the home of an unknown user is refused."""
    assert refusal(data_dir="~nobody-of-that-name/x").startswith("data_dir begins with ~")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f'[avatarkit\napi_key = "{CANARY}"'.encode(), "is not valid TOML"),
        (f"api_key = {CANARY}".encode(), "is not valid TOML"),
        (f'AVATARKIT_API_KEY = "{CANARY}'.encode() + b'\xff"', "save it as UTF-8"),
    ],
)
def test_broken_secrets_file(text: bytes, reason: str) -> None:
    """A secrets file that cannot be read is named, and not quoted."""
    write(".streamlit/secrets.toml", text)
    text = refusal()
    assert text.startswith(str(Path.cwd() / ".streamlit" / "secrets.toml"))
    assert reason in text


def test_secrets_file_that_is_a_folder() -> None:
    """A folder in place of the secrets file is a sentence, too."""
    Path(".streamlit/secrets.toml").mkdir(parents=True)
    assert "cannot be read" in refusal()


def test_broken_dotenv() -> None:
    """A .env that is not UTF-8 is named, and not quoted."""
    write(".env", f"AVATARKIT_API_KEY={CANARY}".encode() + b"\xff")
    path = Path.cwd() / ".env"
    assert refusal() == f"{path} cannot be read; check its permissions, and save it as UTF-8."


def test_dotenv_value_that_does_not_fit() -> None:
    """A wrong value in .env is refused like any other, beside a key that stays hidden."""
    write(".env", f"AVATARKIT_API_KEY={CANARY}\nAVATARKIT_API_ID=i\nAVATARKIT_SANDBOX_SPEED=x\n")
    assert refusal().startswith("sandbox_speed input should be a valid number")


# No key shows


def test_repr_shows_no_secret() -> None:
    """Neither repr, str, dump nor JSON of settings holds the key, and repr no password."""
    settings = Settings(**KEYS, database_url=f"postgresql+psycopg://u:{CANARY}@host/db")
    assert CANARY not in repr(settings) + str(settings)
    without = Settings(**KEYS)
    assert CANARY not in repr(without.model_dump()) + without.model_dump_json()


@given(
    st.dictionaries(
        st.sampled_from(sorted(Settings.model_fields)),
        st.sampled_from(
            [CANARY, f" {CANARY}\n", f"https://{CANARY}@x", f"x {CANARY}", "", "1", "~"]
        ),
    )
)
def test_no_refusal_ever_shows_a_value(values: dict[str, str]) -> None:
    """Whichever settings hold the canary, whatever refuses them does not repeat it."""
    try:
        settings = Settings(**values)
    except ConfigError as error:
        assert_silent(error)
        return
    assert settings.api_key is None or CANARY not in repr(settings.api_key)


# The base URL


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://api.creatify.ai", "https://api.creatify.ai"),
        ("https://api.creatify.ai/", "https://api.creatify.ai"),
        (" HTTPS://API.Creatify.AI// ", "https://api.creatify.ai"),
        ("http://127.0.0.1:8123", "http://127.0.0.1:8123"),
        ("http://[::1]:8123/", "http://[::1]:8123"),
    ],
)
def test_origin_has_one_spelling(value: str, expected: str) -> None:
    """Slashes at the end, white space and upper case make no other account."""
    assert check_base_url(value) == expected
    assert Settings(base_url=value).base_url == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "has no scheme http or https"),
        ("api.creatify.ai", "has no scheme http or https"),
        ("ftp://api.creatify.ai", "has no scheme http or https"),
        ("https://", "has no host"),
        ("https://:443", "has no host"),
        ("https://host:0", "has no host"),
        ("https://exam ple.com", "has no host"),
        (f"https://user:{CANARY}@host", "must not hold a user or password"),
        (f"https://{CANARY}@host", "must not hold a user or password"),
        ("https://host/api", "has a path or more"),
        ("https://host?x=1", "has a path or more"),
        ("https://host#x", "has a path or more"),
        ("https://host?", "has a path or more"),
        ("https://host#", "has a path or more"),
        ("https://host:port", "is not a URL"),
        ("https://host:70000", "is not a URL"),
        ("https://[::1", "is not a URL"),
    ],
)
def test_what_is_no_origin_is_refused(value: str, reason: str) -> None:
    """Anything but scheme and host is refused with what is wrong and an example."""
    text = refusal(base_url=value)
    assert text.startswith(f"base_url {reason}; give only scheme and host, such as https://")


@given(st.text())
def test_any_text_is_an_origin_or_a_value_error(text: str) -> None:
    """Arbitrary text is taken or refused; what is taken is taken again unchanged."""
    try:
        origin = check_base_url(text)
    except ValueError as error:
        assert str(error).startswith("base_url ")
        return
    assert check_base_url(origin) == origin


# Loopback


@pytest.mark.parametrize(
    ("url_or_host", "expected"),
    [
        ("http://127.0.0.1:8123", True),
        ("http://127.9.9.9", True),
        ("http://LOCALHOST.:8123", True),
        ("http://[::1]:8123", True),
        ("http://[::ffff:127.0.0.1]:8123", True),
        ("//localhost:8123", True),
        ("//[::1]", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:7f00:1", True),
        ("", False),
        ("null", False),
        ("//", False),
        ("http://[::1", False),
        ("http://localhost..", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://127.0.0.1@example.com", False),
        ("http://[::ffff:192.0.2.1]", False),
        ("http://0.0.0.0", False),
        ("https://api.creatify.ai", False),
    ],
)
def test_loopback_has_many_names(url_or_host: str, expected: bool) -> None:
    """Every address and name of loopback is told from those that lead elsewhere."""
    assert is_loopback(url_or_host) is expected


def test_tests_see_no_settings_of_the_user() -> None:
    """Within tests none of the user's own variables is left."""
    ours = {name for name in os.environ if name.startswith("AVATARKIT_")}
    assert ours <= {"AVATARKIT_DATA_DIR", "AVATARKIT_CHROMIUM"}


# The public URL


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://Avatars.example.com/", "https://avatars.example.com"),
        ("https://avatars.example.com:8443", "https://avatars.example.com:8443"),
        ("http://127.0.0.1:8501", "http://127.0.0.1:8501"),
        ("", None),
    ],
)
def test_public_url_is_an_origin(
    value: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is encrypted, or on this machine; empty, it is not set."""
    assert Settings().public_url is None
    assert Settings(public_url=value).public_url == expected
    monkeypatch.setenv("AVATARKIT_PUBLIC_URL", value)
    assert Settings().public_url == expected


def test_allowed_hosts_are_names_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one text with commas, or a list; without scheme, port, wildcard, or nothing but a dot."""
    assert Settings().allowed_hosts == ()
    monkeypatch.setenv("AVATARKIT_ALLOWED_HOSTS", " Avatars.Example.com., 10.0.0.5 ,[FD00::0:5],")
    assert Settings().allowed_hosts == ("avatars.example.com", "10.0.0.5", "fd00::5")
    assert Settings(allowed_hosts=["a_b-c.lan", ""]).allowed_hosts == ("a_b-c.lan",)
    for value in ("https://a.example", "a.example:443", "*", "*.example", ".", "a b", "bücher.de"):
        assert "give host names alone" in refusal(allowed_hosts=f"ok.example,{value}")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("avatars.example.com", "has no scheme http or https"),
        ("http://avatars.example.com", "must begin with https"),
        ("https://avatars.example.com/app", "has a path or more"),
        ("https://avatars.example.com?x=1", "has a path or more"),
        ("https://ada:s3cret@avatars.example.com", "must not hold a user or password"),
        ("https://bücher.example", "has letters outside ASCII"),
        (f"https://{'a.' * 80}com", "is longer than 138 characters"),
    ],
)
def test_public_url_is_refused_in_a_sentence(value: str, reason: str) -> None:
    """What the API could not call, or would not take, is said at the start."""
    text = refusal(public_url=value)
    assert text.startswith(f"public_url {reason}")
    assert text.endswith("give only scheme and host, such as https://avatars.example.com.")
    assert "s3cret" not in text
