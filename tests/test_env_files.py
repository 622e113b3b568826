"""Where files of settings are looked for, whose are read, and what is said of them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from avatarkit import env_files, open_session
from avatarkit.errors import ConfigError
from avatarkit.settings import Settings

KEY = "kanarienvogel-7f3a9c51"
KEYS = f"AVATARKIT_API_ID=id-1\nAVATARKIT_API_KEY={KEY}\n"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home folder, which is where the search ends, and no clone beside it."""
    home = tmp_path / "home"
    (home / "jobs" / "nightly").mkdir(parents=True)
    monkeypatch.delenv("AVATARKIT_ENV_FILE")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setattr(env_files, "clone_folder", lambda: None)
    monkeypatch.chdir(home / "jobs" / "nightly")
    return home


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


class TestWhereTheyAreLookedFor:
    @pytest.mark.parametrize("folder", ["jobs/nightly", "jobs", "."])
    def test_from_the_working_folder_up_to_the_home(self, home: Path, folder: str) -> None:
        """Keys in the working folder or above it count, and it is said where they were found."""
        path = write(home / folder / ".env", KEYS)
        settings = Settings()
        assert settings.api_key == SecretStr(KEY)
        assert settings.found.startswith(f"Settings from the environment and {path}; looked for ")

    def test_no_further_than_the_home(self, home: Path) -> None:
        """What lies above the home folder is not read, and it is said where was looked."""
        write(home.parent / ".env", KEYS)
        settings = Settings()
        assert settings.is_sandbox
        folders = ", ".join(map(str, [Path.cwd(), home / "jobs", home]))
        assert settings.found == (
            "Settings from the environment; looked for .env and "
            f"{Path('.streamlit') / 'secrets.toml'} in {folders}."
        )

    @pytest.mark.parametrize("git", ["folder", "file"])
    def test_no_further_than_the_repository(self, home: Path, git: str) -> None:
        """The root of a repository, also of a worktree, is the last folder."""
        write(home / ".env", KEYS)
        if git == "folder":
            (home / "jobs" / ".git").mkdir()
        else:
            write(home / "jobs" / ".git", "gitdir: elsewhere")
        assert Settings().is_sandbox
        write(home / "jobs" / ".env", KEYS)
        assert not Settings().is_sandbox

    def test_beside_the_app(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """A cron job that runs in another folder than the clone finds the clone's keys."""
        path = write(tmp_path / "clone" / ".env", KEYS)
        monkeypatch.setattr(env_files, "clone_folder", lambda: path.parent)
        assert f"and {path}; looked" in Settings().found
        assert Settings().found.endswith(f", {path.parent}.")

    def test_the_clone_is_the_folder_of_the_app(self) -> None:
        """Tests run from the clone, so that folder is found."""
        root = Path(__file__).parents[1]
        assert env_files.clone_folder() == root

    def test_the_nearer_file_wins_value_by_value(self, home: Path) -> None:
        """A file that sets only the speed does not hide the keys above it."""
        write(home / ".env", f"{KEYS}AVATARKIT_SANDBOX_SPEED=5\n")
        write(home / "jobs" / ".env", "AVATARKIT_SANDBOX_SPEED=7\nOTHER=1\n")
        write(home / "jobs" / "nightly" / ".env", "OTHER=1\n")
        settings = Settings()
        assert (settings.is_sandbox, settings.sandbox_speed) == (False, 7)

    def test_a_dotenv_above_wins_over_secrets_here(self, home: Path) -> None:
        """The order of the kinds stands before the order of the folders."""
        write(home / ".env", "AVATARKIT_SANDBOX_SPEED=5\n")
        write(Path.cwd() / ".streamlit" / "secrets.toml", "[avatarkit]\nsandbox_speed = 7\n")
        assert Settings().sandbox_speed == 5

    def test_a_virtual_environment_called_dotenv(self, home: Path) -> None:
        """A folder of that name is no file of settings."""
        (home / "jobs" / ".env").mkdir()
        assert Settings().is_sandbox

    @pytest.mark.skipif(os.name != "posix", reason="a folder in use cannot be deleted there")
    def test_a_working_folder_that_was_deleted(self, home: Path) -> None:
        """Nothing is found there, and that is no error."""
        Path.cwd().rmdir()
        assert "in no folder" in Settings().found


class TestTheVariable:
    @pytest.mark.parametrize("value", ["", " "])
    def test_empty_reads_none(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        """AVATARKIT_ENV_FILE= keeps every file out, and says so."""
        write(home / ".env", KEYS)
        write(home / ".streamlit" / "secrets.toml", f'[avatarkit]\napi_key = "{KEY}"\n')
        monkeypatch.setenv("AVATARKIT_ENV_FILE", value)
        settings = Settings()
        assert settings.is_sandbox
        assert "AVATARKIT_ENV_FILE is empty" in settings.found

    @pytest.mark.parametrize("name", ["live.env", "live.toml"])
    def test_it_names_the_only_file(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """The file that it names is read in place of all others."""
        write(home / ".env", "AVATARKIT_SANDBOX_SPEED=7\n")
        text = f'[avatarkit]\napi_id = "id-1"\napi_key = "{KEY}"\n' if ".toml" in name else KEYS
        path = write(home / "keys" / name, text)
        monkeypatch.setenv("AVATARKIT_ENV_FILE", str(path))
        settings = Settings()
        assert (settings.api_id, settings.sandbox_speed) == ("id-1", 2400)
        assert settings.found == (
            f"Settings from the environment and {path}; "
            f"looked in {path} alone, as AVATARKIT_ENV_FILE says."
        )

    @pytest.mark.parametrize("name", ["missing.env", "missing.toml", "."])
    def test_a_file_that_is_not_there(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """A file that was named and is missing is a sentence, not the sandbox."""
        monkeypatch.setenv("AVATARKIT_ENV_FILE", name)
        with pytest.raises(ConfigError, match="cannot be read"):
            Settings()

    def test_tests_read_no_file(self) -> None:
        """Every test runs with it empty, so that no key of a developer is ever used."""
        assert os.environ["AVATARKIT_ENV_FILE"] == ""


class TestWhoseTheyAre:
    @pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owner there")
    def test_the_file_of_another_user_is_not_read(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In a shared folder it could say where keys go; it is named instead."""
        path = write(home / "jobs" / ".env", KEYS)
        monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
        settings = Settings()
        assert settings.is_sandbox
        (notice,) = settings.notices
        assert notice.startswith(f"{path} belongs to another user and was not read")

    @pytest.mark.parametrize("place", ["another file", "the environment", "two files"])
    def test_a_base_url_from_another_file_than_the_keys(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        """A file must not send the keys of another place to a server of its choice."""
        path = write(home / "jobs" / ".env", "AVATARKIT_BASE_URL=https://elsewhere.example\n")
        if place == "the environment":
            monkeypatch.setenv("AVATARKIT_API_ID", "id-1")
            monkeypatch.setenv("AVATARKIT_API_KEY", KEY)
        else:
            write(home / ".env", KEYS)
        if place == "two files":
            write(path, f"{path.read_text()}AVATARKIT_API_ID=id-1\n")
        with pytest.raises(ConfigError, match=f"base_url is set in {path}, but the keys are not"):
            Settings()
        monkeypatch.setenv("AVATARKIT_BASE_URL", "https://chosen.example")
        assert Settings().base_url == "https://chosen.example"

    def test_a_base_url_beside_the_keys(self, home: Path) -> None:
        """In the file of the keys it counts; so does the usual one anywhere."""
        path = write(home / ".env", f"{KEYS}AVATARKIT_BASE_URL=https://chosen.example\n")
        assert Settings().base_url == "https://chosen.example"
        write(path, KEYS)
        write(home / "jobs" / ".env", "AVATARKIT_BASE_URL=https://api.creatify.ai\n")
        assert not Settings().is_sandbox


class TestMisspeltNames:
    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("AVATARKIT_APIKEY", "did you mean AVATARKIT_API_KEY?"),
            ("avatarkit_api_ids", "did you mean AVATARKIT_API_ID?"),
            ("AVATARKIT_DATABASE", "did you mean AVATARKIT_DATABASE_URL?"),
            ("AVATARKIT_QZX", "it is not used."),
        ],
    )
    def test_the_nearest_name_is_given(
        self, monkeypatch: pytest.MonkeyPatch, name: str, hint: str
    ) -> None:
        """A name that is no setting is pointed out, without its value."""
        monkeypatch.setenv(name, KEY)
        expected = f"{name.upper()} in the environment is no setting; {hint}"
        assert Settings().notices == [expected]

    @pytest.mark.parametrize(
        ("file", "text"),
        [
            (".env", f"AVATARKIT_APIKEY={KEY}\n"),
            (".streamlit/secrets.toml", f'[avatarkit]\napikey = "{KEY}"\n'),
            (".streamlit/secrets.toml", f'AVATARKIT_APIKEY = "{KEY}"\n'),
        ],
    )
    def test_the_file_is_named(self, home: Path, file: str, text: str) -> None:
        """It is said in which file the misspelt name stands."""
        path = write(home / file, text)
        assert Settings().notices == [
            f"AVATARKIT_APIKEY in {path} is no setting; did you mean AVATARKIT_API_KEY?"
        ]

    def test_it_is_said_beside_the_key_that_is_missing(self, home: Path) -> None:
        """One misspelt key leaves the other alone, which is refused with the reason."""
        write(home / ".env", KEYS.replace("API_KEY", "APIKEY"))
        with pytest.raises(ConfigError, match=r"api_key is missing.* AVATARKIT_APIKEY in"):
            Settings()

    def test_a_session_logs_it(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """In a notebook or a script it is a warning on standard error."""
        monkeypatch.setenv("AVATARKIT_APIKEY", KEY)
        with caplog.at_level(logging.WARNING, "avatarkit"), open_session():
            pass
        assert "did you mean AVATARKIT_API_KEY?" in caplog.text
        assert KEY not in caplog.text

    def test_known_names_are_no_notice(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """All settings, this search's own variable and the tests' browser are known."""
        monkeypatch.setenv("AVATARKIT_ENV_FILE", "")
        monkeypatch.setenv("AVATARKIT_CHROMIUM", "/usr/bin/chromium")
        assert Settings().notices == []


@pytest.mark.parametrize("quotes", ['""', "''", "\u201c\u201d"])
def test_quotes_around_values_are_taken_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quotes: str
) -> None:
    """Docker's --env-file and cmd.exe's set keep quotes as part of the value."""
    values = {
        "API_ID": "id-1",
        "API_KEY": KEY,
        "BASE_URL": "https://chosen.example",
        "DATA_DIR": str(tmp_path / "my data"),
        "SANDBOX_SPEED": "7",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"AVATARKIT_{name}", f"{quotes[0]}{value}{quotes[1]}")
    settings = Settings()
    assert (settings.api_id, settings.base_url) == ("id-1", "https://chosen.example")
    assert settings.api_key == SecretStr(KEY)
    assert settings.data_dir == tmp_path / "my data"
    assert settings.sandbox_speed == 7


def test_the_data_folder_may_be_a_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """file:///… with %20 is the folder that it names."""
    monkeypatch.setenv("AVATARKIT_DATA_DIR", (tmp_path / "my data").as_uri())
    assert Settings().data_dir == tmp_path / "my data"
