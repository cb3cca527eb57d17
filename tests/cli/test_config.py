"""``offhook config``: what it shows, what it hides, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
from typer.testing import CliRunner

from offhook.cli.main import app
from offhook.config import FIELDS, SECRETS, TABLES
from offhook.errors import SetupError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, without this machine's settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("config", *FIELDS):
        monkeypatch.delenv(f"OFFHOOK_{name.upper()}", raising=False)
    return tmp_path


def write(folder: Path, text: str) -> None:
    (folder / "offhook.toml").write_text(text, "utf-8")


def shown(*arguments: str) -> Any:
    """Give what ``offhook config --json`` prints."""
    result = CliRunner().invoke(app, ["config", "--json", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return json.loads(result.output)


def table(*arguments: str) -> list[list[str]]:
    """Give the rows that ``offhook config`` prints."""
    result = CliRunner().invoke(app, ["config", *arguments], catch_exceptions=False, env={"COLUMNS": "160"})
    assert result.exit_code == 0
    return [[cell.strip() for cell in line.split("│")] for line in result.output.splitlines() if "│" in line]


def refused(*arguments: str) -> str:
    """Give what is wrong, which the command says in one line."""
    with pytest.raises(SetupError) as caught:
        CliRunner().invoke(app, ["config", *arguments], catch_exceptions=False)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_every_setting_is_shown() -> None:
    """Without a file all settings are there, in their order, with their defaults."""
    found = shown()
    assert found["file"] is None
    assert tuple(found["settings"]) == FIELDS
    assert {(one["source"], one["name"]) for one in found["settings"].values()} == {("default", None)}
    assert found["settings"]["port"]["value"] == 8083
    assert found["settings"]["data_dir"]["value"].endswith("/offhook")
    rows = table()
    assert tuple(row[0] for row in rows) == FIELDS
    assert ["port", "8083", "default"] in rows
    assert ["no_auth", "false", "default"] in rows
    assert ["upstream", "-", "default"] in rows


def test_each_value_says_where_it_came_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag wins over the environment, the environment over the file, and each is named."""
    write(folder, 'agent = "a:b"\nhost = "::1"\nport = 1\nthreads = 3\nmodel_id = "m"')
    monkeypatch.setenv("OFFHOOK_PORT", "2")
    monkeypatch.setenv("OFFHOOK_THREADS", "4")
    monkeypatch.setenv("OFFHOOK_LOG_LEVEL", "debug")
    found = shown("other:reply", "--port", "3", "--model-id", "x", "--model-id", "y")
    assert found["file"] == "offhook.toml"
    wanted = {
        "agent": {"value": "other:reply", "source": "flag", "name": "AGENT"},
        "host": {"value": "::1", "source": "file", "name": "offhook.toml"},
        "port": {"value": 3, "source": "flag", "name": "--port"},
        "threads": {"value": 4, "source": "variable", "name": "OFFHOOK_THREADS"},
        "log_level": {"value": "debug", "source": "variable", "name": "OFFHOOK_LOG_LEVEL"},
        "model_id": {"value": ["x", "y"], "source": "flag", "name": "--model-id"},
        "show": {"value": False, "source": "default", "name": None},
    }
    assert {name: found["settings"][name] for name in wanted} == wanted
    rows = table("--port", "3")
    assert ["port", "3", "--port"] in rows
    assert ["threads", "4", "OFFHOOK_THREADS"] in rows
    assert ["model_id", "m", "offhook.toml"] in rows


def test_another_file_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that --config or the variable names is the one shown."""
    (folder / "other.toml").write_text("port = 5", "utf-8")
    assert shown("--config", "other.toml")["settings"]["port"]["name"] == "other.toml"
    monkeypatch.setenv("OFFHOOK_CONFIG", "other.toml")
    assert shown()["file"] == "other.toml"


NESTED = """
api_key = ["sesame-1", "sesame-2"]

[agents]
line = "testline"

[agents.model]
upstream = "https://127.0.0.1/v1?API-Key=sesame-3&a=b"
upstream_key = "sesame-4"

[dialect.alibaba_ims]
hangup_function = "end_call"

[dialect.conversation_relay]
auth_token = "sesame-6"
"""


def test_no_secret_is_shown(folder: Path) -> None:
    """Keys are masked wherever they stand, inside [agents] and in addresses too, and the rest is shown."""
    write(folder, NESTED)
    found = shown()["settings"]
    assert found["api_key"]["value"] == ["***", "***"]
    assert found["agents"]["value"]["model"]["upstream"] == "https://127.0.0.1/v1?API-Key=***&a=b"
    assert found["agents"]["value"]["model"]["upstream_key"] == "***"
    rows = table()
    assert [row for row in rows if "." in row[0]] == [
        ["agents.line", "testline", "offhook.toml"],
        ["agents.model.upstream", "https://127.0.0.1/v1?API-Key=***&a=b", "offhook.toml"],
        ["agents.model.upstream_key", "***", "offhook.toml"],
        ["dialect.alibaba_ims.hangup_function", "end_call", "offhook.toml"],
        ["dialect.conversation_relay.auth_token", "***", "offhook.toml"],
    ]
    assert "sesame" not in str(found) + str(rows)


def test_a_key_of_a_flag_or_variable_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are masked whichever way they came."""
    monkeypatch.setenv("OFFHOOK_UPSTREAM_KEY", "sesame")
    found = shown("--api-key", "sesame", "--upstream", "http://127.0.0.1:1/v1")
    settings = {name: found["settings"][name]["value"] for name in SECRETS if name in FIELDS}
    assert settings == {"api_key": ["***"], "upstream_key": "***"}
    assert "sesame" not in str(table("--api-key", "sesame", "--upstream", "http://127.0.0.1:1/v1"))


UPSTREAMS = """
[[upstream]]
name = "one"
base_url = "https://127.0.0.1/v1?api_key=sesame-1"
key = "sesame-2"
headers = { X-Tenant = "sesame-3", Cookie = "sesame-4" }
body = { extra = { api_key = "sesame-5" }, seed = 7 }

[[upstream]]
name = "two"
base_url = "https://127.0.0.1/v1"
key_env = "KEY_OF_TWO"
key_header = "api-key"
"""


def test_no_key_of_a_model_service_is_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of a [[upstream]], that of the variable it names, and all its headers are masked; the rest is shown."""
    write(folder, UPSTREAMS)
    monkeypatch.setenv("KEY_OF_TWO", "sesame-6")
    one, two = shown()["settings"]["upstream_table"]["value"]
    assert one["base_url"] == "https://127.0.0.1/v1?api_key=***"
    assert one["key"] == "***"
    assert one["headers"] == {"X-Tenant": "***", "Cookie": "***"}
    assert one["body"] == {"extra": {"api_key": "***"}, "seed": 7}
    assert two["key"] == "***"
    assert two["key_header"] == "api-key"
    rows = table()
    assert ["upstream_table[one].headers.X-Tenant", "***", "offhook.toml"] in rows
    assert ["upstream_table[two].key", "***", "offhook.toml"] in rows
    assert ["upstream_table[one].body.seed", "7", "offhook.toml"] in rows
    assert "sesame" not in str(one) + str(two) + str(rows)


# Each beside a key and a header, which are good.
BAD_UPSTREAMS = [
    ("base_url = 'https://me:sesame@127.0.0.1/v1'", "[[upstream]] 'one': The base URL must not hold a name"),
    ("base_url = 'nowhere?key=sesame'", "[[upstream]] 'one': The base URL 'nowhere' must look like "),
    ("base_url = 'http://h'\nweight = 0", "[[upstream]] 'one': Expected `float` > 0.0 - at `$.weight`."),
    ("base_url = 'http://h'\nmodle = 'm'", "[[upstream]] 'one' has no field 'modle'; there are: key_env, name, "),
    ("base_url = 'http://h'\nkey_file = 'k'", "[[upstream]] 'one' has key beside key_file; "),
    ("base_url = 'http://h'\nkey_env = 'K'", "[[upstream]] 'one' has key_env beside another key; "),
    ("base_url = 'http://h'\nkey_header = 'a b'", "[[upstream]] 'one': the header 'a b' has a name or value that "),
    ("base_url = 'http://h'\ncall_id_as = 'id'", "[[upstream]] 'one': call_id_as = 'id'; write user, "),
]


@pytest.mark.parametrize(("wrong", "words"), BAD_UPSTREAMS)
def test_what_is_wrong_with_a_model_service_holds_no_key(folder: Path, wrong: str, words: str) -> None:
    """A bad entry of [[upstream]] is one line that names it, without its key or headers."""
    write(folder, f"[[upstream]]\nname = 'one'\nkey = 'sesame-1'\nheaders = {{ X = 'sesame-2' }}\n{wrong}")
    said = refused()
    assert said.startswith(words)
    assert "sesame" not in said


@pytest.mark.parametrize(
    ("name", "value"),
    [("key", "'sesame\\n'"), ("key", "['sesame']"), ("headers", "{ X = 'sesame\\n' }"), ("headers", "['sesame']")],
)
def test_a_key_or_header_that_is_wrong_is_not_shown(folder: Path, name: str, value: str) -> None:
    """What is wrong with a key or header is told without it."""
    write(folder, f'[[upstream]]\nname = "one"\nbase_url = "http://h"\n{name} = {value}'.replace("'", '"'))
    said = refused()
    assert said.startswith("[[upstream]] 'one': ")
    assert "sesame" not in said


def test_the_variable_of_a_key_is_named_where_it_is_not_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model service whose key_env is not set is refused with the variable's name."""
    write(folder, UPSTREAMS)
    monkeypatch.delenv("KEY_OF_TWO", raising=False)
    said = refused()
    assert said == "[[upstream]] 'two' takes its key from KEY_OF_TWO, which is not set in the environment."


WRONG = [
    ("prot = 1", "offhook.toml: there is no setting 'prot'; did you mean 'port'?"),
    ("API-KEY = 'k'", "offhook.toml: there is no setting 'API-KEY'; did you mean 'api_key'?"),
    ("[agents.a]\nupstrem = 'x'", "offhook.toml: [agents.a]: there is no setting 'upstrem'; did you mean 'upstream'?"),
    ("[agents.a]\nport = 1", "offhook.toml: [agents.a]: there is no setting 'port'; there are: agent, upstream, "),
    (
        "[dialect.alibaba_ims]\nhangup-funktion = 'x'",
        "[dialect.alibaba_ims]: there is no setting 'hangup-funktion'; did you mean 'hangup_function'?",
    ),
    ("[dialect.alibaba]\ncall_id = 'x'", "There is no dialect 'alibaba'; there are: trtc, "),
    ("[dialect.plain]\ncall_id = 'x'", "[dialect.plain]: call_id = 'x' names no source; "),
    ("[dialect.vapi]\nspeech = 'blah'", "[dialect.vapi]: speech = 'blah': there is no 'blah'; "),
    ("[dialect.vapi]\nspeech = 'none,markdown'", "[dialect.vapi]: speech = 'none,markdown': 'none' stands alone. "),
    ("[dialect.vapi]\nspeech = 3", "[dialect.vapi]: Expected `str | null`, got `int`"),
    (
        "[dialect.vapi]\nhangup_as = 'tag'",
        "[dialect.vapi]: hangup_as = 'tag': this platform knows no such way; it may be 'call'.",
    ),
    ("platform = 'twilio'", "There is no dialect 'twilio'; "),
    ("port = 'x'", "port = 'x' (offhook.toml): expected `int`, got `str`."),
    ("agents = 3", "agents (offhook.toml): expected `object`, got `int`."),
    ("[agents]\na = 3", "agents[...] (offhook.toml): expected `str | object`, got `int`."),
    ("[agents.a]\nupstream_key = 3", "agents[...].upstream_key (offhook.toml): expected `str | null`, got `int`."),
    ("api_key = ['']", "A key is empty, so nobody could call; "),
    ("no_auth = true\nhost = '0.0.0.0'", "--no-auth lets everybody in"),
    ("agent = 'a:b'\nupstream = 'http://127.0.0.1/v1'", "Both an agent and an upstream are given; leave one out."),
    ("upstream_key = 'sesame'", "upstream_key is for a model service; "),
    ("[upstream]\nname = 'a'\nkey = 'sesame'", "offhook.toml: [upstream] is one of several model services; "),
    ("upstream = 'ftp://h/v1?api_key=sesame'", "The base URL 'ftp://h/v1' must look like "),
    ("[host]\nkey = 'sesame'", "host = ... (offhook.toml): expected `str`, got `object`."),
    ("tls_cert = 'c.pem'", "--tls-cert is given and --tls-key is not; "),
    ("forwarded_allow_ips = 'me'", "forwarded_allow_ips: 'me' is no address, "),
    ("port = ", "offhook.toml is not valid TOML: "),
]


@pytest.mark.parametrize(("text", "words"), WRONG)
def test_what_is_wrong_is_one_line(folder: Path, text: str, words: str) -> None:
    """A wrong name is answered with the nearest right one, and whatever serve would refuse is refused here."""
    write(folder, text)
    said = refused()
    assert said.startswith(words)
    assert "sesame" not in said


def test_the_exit_code_is_2(folder: Path) -> None:
    """What is wrong goes to standard error, and nothing is shown."""
    write(folder, "prot = 1")
    ran = subprocess.run(
        [sys.executable, "-m", "offhook", "config"], capture_output=True, text=True, timeout=25, check=False, cwd=folder
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "offhook: offhook.toml: there is no setting 'prot'; did you mean 'port'?\n"


def test_the_agent_is_not_loaded(folder: Path) -> None:
    """Showing the settings runs nothing of the user's, and makes no files."""
    write(folder, "agent = 'app.py:reply'\ncapture = 'captures'\nshow = true\ndata_dir = 'data'")
    (folder / "app.py").write_text("raise SystemExit('loaded')", "utf-8")
    assert shown()["settings"]["capture"]["value"] == "captures"
    assert sorted(path.name for path in folder.iterdir()) == ["app.py", "offhook.toml"]


def test_config_takes_the_flags_of_serve() -> None:
    """What can be given to serve can be given to config, so that a command line can be tried."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group, having commands
    flags = {name: {option for param in commands[name].params for option in param.opts} for name in ("serve", "config")}
    assert flags["config"] == flags["serve"] | {"--json"}
    # A table has no form as a flag.
    assert flags["serve"] & {f"--{name.replace('_', '-')}" for name in TABLES} == set()
