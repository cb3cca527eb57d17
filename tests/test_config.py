"""Settings: flags over environment over file, and errors that name the setting and where it came from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from offhook.config import FIELDS, FILE, Settings, default_data_dir, load
from offhook.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offhook.config import Loaded

HOME = {"HOME": "/home/nobody"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def settings(
    flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, file: str | None = None
) -> Settings:
    """Give the settings of these flags, variables, and text of ./offhook.toml."""
    return loaded(flags, environ, file).settings


def loaded(
    flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, file: str | None = None
) -> Loaded:
    """Give the same with where each came from."""
    if file is not None:
        Path(FILE).write_text(file, encoding="utf-8")
    return load(flags or {}, environ={**HOME, **(environ or {})})


def problem(
    flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, file: str | None = None
) -> str:
    """Give the one line with which these are refused."""
    with pytest.raises(SetupError) as raised:
        settings(flags, environ, file)
    message = str(raised.value)
    assert "\n" not in message
    return message


# --- which wins ---------------------------------------------------------------------------------------------------


def test_without_anything_the_defaults_hold() -> None:
    """Loopback, port 8083, no key, the built-in agent, and a data directory in the home."""
    result = loaded()
    assert result.settings == Settings(data_dir="/home/nobody/.local/share/offhook")
    assert (result.settings.host, result.settings.port, result.settings.agent) == ("127.0.0.1", 8083, None)
    assert (result.sources, result.file) == ({}, None)


def test_a_flag_wins_over_the_environment_and_that_over_the_file() -> None:
    """Each source is looked at in turn, for each setting by itself, and the result says where each came from."""
    file = "port = 1\nhost = '10.0.0.1'\nmodel_id = ['file']\n"
    environ = {"OFFHOOK_PORT": "2", "OFFHOOK_HOST": "10.0.0.2"}
    result = loaded({"port": 3, "host": None, "model_id": []}, environ, file)
    assert (result.settings.port, result.settings.host, result.settings.model_id) == (3, "10.0.0.2", ["file"])
    assert result.sources == {"port": "flag", "host": "OFFHOOK_HOST", "model_id": FILE}
    assert str(result.file) == FILE


def test_an_empty_variable_was_not_given() -> None:
    """A variable that is set to nothing does not hide the file."""
    assert settings(environ={"OFFHOOK_PORT": ""}, file="port = 5").port == 5


def test_variables_of_others_and_in_small_letters_do_not_count() -> None:
    """Only OFFHOOK_ and the setting's name in capitals is read."""
    assert settings(environ={"PORT": "1", "offhook_port": "2", "OFFHOOK_PORTS": "3"}).port == 8083


@pytest.mark.parametrize("name", ["api_key", "model_id"])
def test_lists_come_from_flags_variables_and_the_file(name: str) -> None:
    """A flag is given several times, a variable is cut at commas, a file has an array or one string."""
    variable = f"OFFHOOK_{name.upper()}"
    assert getattr(settings({name: ["a", "b"]}), name) == ["a", "b"]
    assert getattr(settings(environ={variable: "a"}), name) == ["a"]
    assert getattr(settings(environ={variable: " a, b ,,c "}), name) == ["a", "b", "c"]
    assert getattr(settings(file=f"{name} = ['a', 'b']"), name) == ["a", "b"]
    assert getattr(settings(file=f"{name} = 'a'"), name) == ["a"]


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("true", True), ("True", True), ("0", False), ("false", False)]
)
def test_variables_are_read_as_what_the_setting_is(text: str, value: bool) -> None:
    """Switches and numbers come out of texts."""
    assert settings(environ={"OFFHOOK_SHOW": text}).show is value
    assert settings(environ={"OFFHOOK_STOP_TIMEOUT": "2.5"}).stop_timeout == 2.5


def test_a_dialect_has_a_table_in_the_file_only() -> None:
    """Tables have no form as a flag or variable."""
    file = "[dialect.alibaba_ims]\nhangup_function = 'end_call'\n"
    given = settings(environ={"OFFHOOK_DIALECT": "nonsense"}, file=file)
    assert given.dialect == {"alibaba_ims": {"hangup_function": "end_call"}}


# --- the file -----------------------------------------------------------------------------------------------------


def test_the_file_may_be_named(tmp_path: Path) -> None:
    """--config wins over OFFHOOK_CONFIG, that over ./offhook.toml."""
    for name, port in (("flag.toml", 1), ("variable.toml", 2), (FILE, 3)):
        (tmp_path / name).write_text(f"port = {port}")
    environ = {**HOME, "OFFHOOK_CONFIG": str(tmp_path / "variable.toml")}
    assert load({}, config=str(tmp_path / "flag.toml"), environ=environ).settings.port == 1
    assert load({}, environ=environ).settings.port == 2
    assert load({}, environ=HOME).settings.port == 3


@pytest.mark.parametrize("place", ["missing.toml", "."])
def test_a_named_file_must_be_there(place: str) -> None:
    """A file that was named and cannot be read is an error, from the flag and from the variable."""
    assert place in problem(environ={"OFFHOOK_CONFIG": place})
    with pytest.raises(SetupError, match="cannot be read"):
        load({}, config=place, environ=HOME)


@pytest.mark.parametrize("text", ["port = ", "port", "= 3", "port = 1\nport = 2", "port = '", "[dialect"])
def test_a_file_that_is_no_toml_is_one_line_with_the_place(text: str) -> None:
    """The message names the file and the place in it."""
    message = problem(file=text)
    assert message.startswith(f"{FILE} is not valid TOML: ")
    assert "(at " in message


def test_a_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are told like any other mistake."""
    (tmp_path / FILE).write_bytes(b"host = '\xff'")
    assert FILE in problem()


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("prot", "port"),
        ("api-key", "api_key"),
        ("model-id", "model_id"),
        ("upstream_modell", "upstream_model"),
        ("Port", "port"),
        ("apikey", "api_key"),
    ],
)
def test_a_wrong_key_in_the_file_names_the_nearest(key: str, meant: str) -> None:
    """A typing error is told with what was probably meant."""
    message = problem(file=f"{key} = 'sk-secret'")
    assert message == f"{FILE}: there is no setting {key!r}; did you mean {meant!r}?"


def test_a_key_like_no_other_lists_them_all() -> None:
    """Where nothing is near, all settings are listed."""
    message = problem(file="zzz = 1")
    assert all(name in message for name in FIELDS)


# --- wrong values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("port", "eighty", "int"),
        ("port", "70000", "65535"),
        ("port", "-1", ">= 0"),
        ("threads", "0", ">= 1"),
        ("stop_timeout", "soon", "float"),
        ("stop_timeout", "-1", ">= 0"),
        ("no_auth", "maybe", "bool"),
        ("log_level", "loud", "log_level"),
    ],
)
def test_a_wrong_value_names_setting_value_and_source(name: str, text: str, words: str) -> None:
    """Whether from a flag, a variable or the file, the line says what is wrong and where it stands."""
    variable = f"OFFHOOK_{name.upper()}"
    for message, source in (
        (problem({name: text}), "flag"),
        (problem(environ={variable: text}), variable),
        (problem(file=f"{name} = {text!r}"), FILE),
    ):
        assert message.startswith(f"{name} = {text!r} ({source}): ")
        assert words in message


def test_a_wrong_level_lists_the_right_ones() -> None:
    """Who writes a wrong word sees which there are."""
    assert all(level in problem({"log_level": "loud"}) for level in ("debug", "info", "warning", "error"))


@pytest.mark.parametrize(
    "file",
    [
        "api_key = 4711",
        "api_key = [4711]",
        "api_key = ['sk-secret-4711', 4711]",
        "api_key = {secret = 4711}",
        "upstream_key = 4711",
        "upstream_key = ['sk-secret-4711']",
        "upstream_key = 4711\nport = 1",
    ],
)
def test_a_wrong_secret_is_not_shown(file: str) -> None:
    """A key of the wrong type is named and masked."""
    message = problem(file=file)
    assert "4711" not in message and "secret" not in message
    assert f"= ... ({FILE}): expected" in message


def test_a_secret_in_a_broken_file_is_not_shown() -> None:
    """What TOML cannot read is told by its place, not by its text."""
    assert "4711" not in problem(file="api_key = sk-4711")
    assert "4711" not in problem(file="port = 1\nupstream_key = 'sk-4711\n")


# --- the data directory -------------------------------------------------------------------------------------------


def test_the_data_directory_follows_the_xdg_specification() -> None:
    """XDG_DATA_HOME wins over the home directory; an explicit directory over both."""
    environ = {"XDG_DATA_HOME": "/data"}
    assert str(default_data_dir(environ)) == "/data/offhook"
    assert str(default_data_dir(HOME)) == "/home/nobody/.local/share/offhook"
    assert settings(environ=environ).data_dir == "/data/offhook"
    assert settings(environ={**environ, "OFFHOOK_DATA_DIR": "/elsewhere"}).data_dir == "/elsewhere"
    assert settings({"data_dir": "here"}, environ).data_dir == "here"


def test_a_relative_xdg_directory_does_not_count() -> None:
    """The specification says that a relative path there is to be ignored."""
    assert str(default_data_dir({**HOME, "XDG_DATA_HOME": "data"})) == "/home/nobody/.local/share/offhook"


def test_a_tilde_is_the_home_directory() -> None:
    """Where no shell reads the value, as in the file and in a service's environment, ~ is understood too."""
    assert settings(file="data_dir = '~/keys'", environ={"HOME": "/home/nobody"}).data_dir == "/home/nobody/keys"
