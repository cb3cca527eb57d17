"""The documents are true: what they show runs, what they list is complete, and what is generated is fresh."""

from __future__ import annotations

import json
import logging
import re
import shlex
import shutil
import types
import urllib.request
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import pytest
import typer.main

from offhook import errors, events, testing
from offhook.agents.prompt import NAMES
from offhook.agents.testline import words
from offhook.cli.main import app
from offhook.config import FIELDS, AgentSpec, load
from offhook.dialects.base import KEY_PARAMETERS, Dialect, Options
from offhook.dialects.choose import DIALECTS, HEADER
from offhook.events import Attempt, ToolRun
from offhook.node.record import AnswerRecord
from offhook.observe.hooks import TurnDetails
from offhook.observe.logs import TurnLog
from offhook.server.build import TESTLINE
from offhook.server.capture import SECRET_HEADERS
from offhook.testing import live_server, scripted_upstream
from offhook.upstream.translate import PASSED_ON
from scripts import docs as generated
from tests import documents, oracle
from tests.documents import DOCS, DOCUMENTS, PLATFORMS, README, REPO, Block
from tests.terminal import Terminal, has_curl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group


# --- what they show runs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("real_curl", [True, False], ids=["curl", "stand-in"])
def test_the_readme_can_be_followed(tmp_path: Path, real_curl: bool) -> None:
    """Every block of the README, run in its order in an empty folder, does what the README says."""
    if real_curl and not has_curl():
        pytest.skip("optional: curl is not installed; its stand-in runs")
    outputs = iter(documents.blocks("text", path=README))
    shown = 0
    with (
        scripted_upstream("Hello, this is the model.") as upstream,
        Terminal(
            tmp_path / "folder", {"http://127.0.0.1:11434/v1": upstream.base_url}, real_curl=real_curl
        ) as terminal,
    ):
        for block in documents.blocks("python", "sh", path=README):
            if block.language == "python":
                terminal.type_in(block)
                continue
            said = terminal.run(block, keyboard="Hello?\nbye\n")
            if "curl" in block.text:
                assert without_ids(said) == without_ids(next(outputs).text)
                shown += 1
            elif "offhook call" in block.text:
                assert "You said: Hello?" in said
                assert "The agent ended the call." in said
                shown += 1
        assert shown == 2
        assert oracle.check_stream(ask(terminal.base_url, terminal.api_key), usage_asked=False).text == (
            "Hello, this is the model."
        )
        (request,) = upstream.requests
        assert "on the telephone with a customer" in request.body["messages"][0]["content"]
        assert terminal.stop() == 0
    assert next(outputs, None) is None


def without_ids(stream: str) -> str:
    """Give a stream with the values left out that differ every time."""
    return re.sub(r'(chatcmpl-|call_|"created":)[0-9a-f]+', r"\1", stream)


def ask(base_url: str, api_key: str) -> bytes:
    """Give the raw stream that answers one utterance."""
    body = {"model": "any", "stream": True, "messages": [{"role": "user", "content": "Thanks, bye"}]}
    headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{base_url}/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as response:
        raw: bytes = response.read()
    return raw


@pytest.mark.parametrize("block", documents.blocks("python"), ids=str)
def test_python_runs(block: Block) -> None:
    """A block of Python is loaded; an agent in it answers a call with a legal stream, and the tests in it pass."""
    module = types.ModuleType("shown")
    exec(compile(block.text, str(block), "exec"), module.__dict__)
    names = vars(module)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    for test in tests:
        test()
    if "reply" in names and "live_server" not in names:
        with live_server(names["reply"]) as server:
            raw = ask(server.base_url, server.api_key)
        assert oracle.check_stream(raw, usage_asked=False).text
    else:
        assert tests or "assert" in block.text, "a block that shows nothing"


@pytest.mark.parametrize("block", documents.blocks("toml"), ids=str)
def test_toml_is_a_settings_file(block: Block, tmp_path: Path) -> None:
    """A block of TOML is taken as offhook.toml."""
    file = tmp_path / "offhook.toml"
    file.write_text(block.text, "utf-8")
    assert load({}, config=str(file), environ={}).file == file


@pytest.mark.parametrize("block", documents.blocks("json"), ids=str)
def test_json_is_json(block: Block) -> None:
    """A block of JSON can be parsed."""
    assert json.loads(block.text)


def test_every_block_has_a_known_language() -> None:
    """No block escapes the checks above because its language is missing or misspelled."""
    checked = {"python", "toml", "json", "sh"}
    # The output of something, and files for other programs.
    shown = {"text", "ini", "nginx"}
    assert {str(block): block.language for block in documents.blocks() if block.language not in checked | shown} == {}
    assert [block for block in documents.blocks("sh") if block.path != README] == []


def shown_commands() -> Iterator[tuple[str, str]]:
    """Give each ``offhook`` command that the documents show outside of the README's blocks, with its place."""
    for path in DOCUMENTS:
        yield from ((path.name, text) for text in documents.code(path) if text.startswith("offhook "))
    for block in documents.blocks("ini"):
        yield from ((str(block), line) for line in re.findall(r"ExecStart=\S*/(offhook .*)", block.text))


@pytest.mark.parametrize(("place", "line"), sorted(set(shown_commands())))
def test_shown_commands_exist(place: str, line: str) -> None:
    """A command in the text is one that the command line takes."""
    _, command, *arguments = shlex.split(line)
    COMMANDS[command].make_context(command, arguments).close()


def test_shown_flags_exist() -> None:
    """A flag in the text is one of some command."""
    known = {flag for command in COMMANDS.values() for param in command.params for flag in param.opts}
    shown = {text.split()[0] for path in DOCUMENTS for text in documents.code(path) if text.startswith("--")}
    assert shown - known == set()
    assert shown


# --- what they list is complete -----------------------------------------------------------------------------------


def error_classes(base: type[errors.OffhookError] = errors.OffhookError) -> Iterator[type[errors.OffhookError]]:
    """Give every error class."""
    yield base
    for kind in base.__subclasses__():
        yield from error_classes(kind)


def test_every_error_is_in_the_table() -> None:
    """The table of errors has each class with its status, type, code and whether a retry can help, and no other."""
    wanted = [
        [
            *(f"`{kind.__name__}`", str(kind.status), f"`{kind.type}`"),
            *(f"`{kind.code}`" if kind.code else "-", "yes" if kind.retryable else "no"),
        ]
        for kind in error_classes()
        if kind.__module__ == errors.__name__
    ]
    table = [row[:5] for row in documents.rows(DOCS / "wire.md") if len(row) == 6 and row[0] != "error"]
    assert sorted(table) == sorted(wanted)


FAULTY = ["fault_upstream", "fault_proxy"]

ORDERS = ("hangup(text)", "transfer(number, text, failed=)", "protect()", "say_to_app({...})", "can(name)")

LISTED = [
    ("settings.md", FIELDS),
    ("settings.md", Options.__struct_fields__),
    ("dialects.md", DIALECTS),
    ("agents.md", ({name.lstrip("_") for name in events.Turn.__slots__} - {"refuses"} | {*ORDERS})),
    ("agents.md", events.CallContext.__struct_fields__),
    ("agents.md", events.Message.__struct_fields__),
    ("agents.md", [kind.__name__ for kind in get_args(events.Event)]),
    ("agents.md", AgentSpec.__struct_fields__),
    ("dialects.md", Options.__struct_fields__),
    ("dialects.md", set(Dialect.__struct_fields__) - {"name", "marks", "read", "write"}),
    ("agents.md", events.Command.__struct_fields__),
    ("agents.md", get_args(events.CommandName)),
    ("agents.md", [name for name in events.OpenCall.__slots__ if not name.startswith("_")]),
    ("agents.md", [f"{{{{{name}}}}}" for name in NAMES]),
    ("node.md", AnswerRecord.__struct_fields__),
]


@pytest.mark.parametrize(("document", "names"), LISTED)
def test_every_name_has_a_row(document: str, names: Any) -> None:
    """Each name of the code that a reader may look up begins a row of a table."""
    assert set(names) - documents.named_in_rows(DOCS / document) == set()


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ("cli.md", [f"offhook {name}" for name in COMMANDS]),
        ("dialects.md", list(DIALECTS)),
        ("agents.md", [TESTLINE, "A function, in all its forms", "A model"]),
        ("testing.md", ["live_server", "server.call", "JumpClock", *FAULTY, "scripted_upstream"]),
        ("node.md", ["LLMNode", "Call", "Speaker", "Resend"]),
    ],
)
def test_every_thing_has_a_heading(document: str, names: list[str]) -> None:
    """Each command, dialect, built-in agent and tool for tests has a heading."""
    assert set(names) - set(documents.headings(DOCS / document)) == set()


def test_what_is_masked_and_passed_on_is_named() -> None:
    """The documents name each header and parameter that is masked, and each field that a model service is given."""
    assert (SECRET_HEADERS | KEY_PARAMETERS) - set(documents.code(DOCS / "logs.md")) == set()
    assert set(PASSED_ON) - set(documents.code(DOCS / "agents.md")) == set()
    assert HEADER in " ".join(documents.code(DOCS / "dialects.md"))


def test_the_details_of_a_turn_are_named() -> None:
    """The document on testing names what is known of a turn that has ended."""
    told = set(documents.code(DOCS / "testing.md"))
    # For one who measures; of no use in a test.
    assert set(TurnDetails.__struct_fields__) - told == {"stopped_at"}


def test_what_is_for_tests_is_named() -> None:
    """The document on testing names everything that offhook.testing has."""
    told = {name for text in documents.code(DOCS / "testing.md") for name in re.findall(r"\w+", text)}
    assert set(testing.__all__) - told == set()


def test_the_log_line_is_told_field_by_field(caplog: pytest.LogCaptureFixture) -> None:
    """The table of the log line has its fields, all of them, in their order."""
    details = TurnDetails(
        *("r", "c", "t", "plain", "m", "newer", "window", "cancelled", None, 1, 0.0, 0.1, 0.2, 0.3, 9.0),
        gap=0.1,
        asides=("filler",),
        begun=(Attempt("a", "m"), Attempt("b", "m", 2)),
        tools=(ToolRun("t", "{}", "ok", 0.1),),
        prompt_tokens=1,
        completion_tokens=1,
    )
    with caplog.at_level(logging.INFO, "offhook.turn"):
        TurnLog().turn_ended(details)
    fields = re.findall(r"(\w+)=", caplog.messages[0])
    assert [row[0] for row in documents.rows(DOCS / "logs.md")] == ["field", *(f"`{name}`" for name in fields)]


WISHES: dict[str, type] = {
    "greeting": words.Greeting,
    "who is calling": words.WhoIsCalling,
    "user data": words.TellUserData,
    "time": words.TellTime,
    "count": words.Count,
    "wait": words.Wait,
    "read back": words.Say,
    "say again": words.SayAgain,
    "goodbye": words.Goodbye,
    "anything else": words.Echo,
}


def test_the_test_line_understands_what_is_shown() -> None:
    """Each utterance in the table of the test line is understood as the table says, and no wish is missing."""
    table = {row[0]: re.findall(r'"([^"]+)"', row[1]) for row in documents.rows(DOCS / "agents.md") if row[0] in WISHES}
    assert table.keys() == WISHES.keys()
    wrong = {
        text: words.understand(text)
        for name, texts in table.items()
        for text in texts
        if not isinstance(words.understand(text), WISHES[name])
    }
    assert wrong == {}
    assert set(WISHES.values()) | {words.Nothing} == set(words.Wish.__args__)


# --- what is generated is fresh, what is linked is there ----------------------------------------------------------


def test_generated_parts_are_fresh() -> None:
    """What is made from the code is as the code would make it now; make docs renews it."""
    assert [path.name for path in generated.stale()] == []


def test_a_stale_part_is_found_and_renewed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --check a stale document is named and the exit code is 1; without, it is written."""
    folder = tmp_path / "docs"
    shutil.copytree(DOCS, folder)
    settings = folder / "settings.md"
    fresh = settings.read_text("utf-8")
    settings.write_text(fresh.replace("`--port`", "`--gate`"), "utf-8")
    assert generated.main(["--check"], folder) == 1
    assert capsys.readouterr().err == "docs/settings.md is stale; type: make docs\n"
    assert generated.main([], folder) == 0
    assert settings.read_text("utf-8") == fresh
    assert generated.main(["--check"], folder) == 0


def test_links_lead_somewhere() -> None:
    """Every relative link leads to a file of the repository, and to a heading of it where it names one."""
    broken = []
    for path in (*DOCUMENTS, *(REPO / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"))):
        for link in documents.links(path):
            if "://" in link:
                continue
            name, _, anchor = link.partition("#")
            target = path.parent / name if name else path
            if not target.is_file() or (anchor and anchor not in documents.anchors(target)):
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_the_map_has_every_document() -> None:
    """The index links to each document, to the threat model and to the recipes."""
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} - {"index.md"}
    assert set(documents.links(DOCS / "index.md")) == there | {"../SECURITY.md", "../recipes/README.md"}


def test_every_platform_has_its_page() -> None:
    """The page on dialects links to each platform's, in the row of its dialect, and each begins with that dialect."""
    rows = {row[0].strip("`"): row[1] for row in documents.rows(DOCS / "dialects.md") if row[0].strip("`") in DIALECTS}
    linked = {name: re.findall(r"\(platforms/([a-z-]+)\.md\)", cell) for name, cell in rows.items() if name != "plain"}
    assert {name for name, pages in linked.items() if len(pages) != 1} == set()
    assert {page for pages in linked.values() for page in pages} == {path.stem for path in PLATFORMS.glob("*.md")}
    for name, (page,) in linked.items():
        text = (PLATFORMS / f"{page}.md").read_text("utf-8")
        assert f"ialect `{name}`" in text.split("\n\n")[1]
        assert {"Commands", "Sources"} - set(documents.headings(PLATFORMS / f"{page}.md")) == set()


def test_the_readme_begins_with_code() -> None:
    """A reader of the README comes to something to type before line 30."""
    assert documents.blocks(path=README)[0].line < 30


# Of one machine or workplace. Put together here, so that this file does not hold them.
FORBIDDEN = re.compile(
    "|".join(
        ("/" + "work/", "/" + "root/", "bash" + "_jobs", "index" + "-url", "Co-Authored" + "-By", "pypi" + "-mirror")
    )
)
PUBLIC = {"https://pypi.org", "https://files.pythonhosted.org"}


def repository() -> Iterator[Path]:
    """Give the files of the repository, without what the tools make."""
    made = {"__pycache__", "build", "dist"}
    for top in REPO.iterdir():
        if top.name in made or (top.name.startswith(".") and top.name not in {".ci", ".editorconfig", ".gitignore"}):
            continue
        yield from (path for path in (top.rglob("*") if top.is_dir() else [top]) if path.is_file())


def test_no_file_speaks_of_one_machine() -> None:
    """No file of the repository names a path, registry or tool of one machine or workplace."""
    texts = [path for path in repository() if "__pycache__" not in path.parts]
    assert README in texts
    assert [path for path in texts if FORBIDDEN.search(path.read_text("utf-8", "replace"))] == []


def test_the_lock_names_the_public_registry_only() -> None:
    """Everybody can install what uv.lock names."""
    assert set(re.findall(r"https?://[^/\"]+", (REPO / "uv.lock").read_text("utf-8"))) == PUBLIC


def test_the_changelog_has_every_command() -> None:
    """What a user can type is in the list of changes."""
    assert {f"offhook {name}" for name in COMMANDS} - set(documents.code(REPO / "CHANGELOG.md")) == set()


def test_every_setting_has_a_description() -> None:
    """The help of a setting is a sentence, since the documents are made of it."""
    assert [name for name in FIELDS if not re.search(rf"\| `{name}` \|.*\. \|", generated.settings_table())] == []
    assert msgspec.structs.fields(Options)
