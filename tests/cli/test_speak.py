"""``offhook speak``: the pieces of a text, where they stand in it, and what is said when it cannot be read."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from offhook.cli.main import app
from offhook.cli.speak_pieces import Speaker
from offhook.config import FIELDS
from offhook.errors import SetupError
from offhook.speech.rules import speech_of

if TYPE_CHECKING:
    from pathlib import Path

OFFHOOK = (sys.executable, "-m", "offhook")
TEXT = """# Answer

**It is 3.** See [our page](https://www.example.com/a) or write to bob@example.com. \N{GRINNING FACE}

- one
- two, 3*4*5

| a | b |
|---|---|
| 1 | 2 |

```python
print(1)
```

这是**重点**内容，请看。<think>No.</think>再见。
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, without this machine's settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("config", *FIELDS):
        monkeypatch.delenv(f"OFFHOOK_{name.upper()}", raising=False)
    (tmp_path / "text.md").write_text(TEXT, "utf-8")
    return tmp_path


def spoken(*arguments: str, given: str | bytes | None = None, file: str = "text.md") -> Any:
    """Give what ``offhook speak --json`` prints."""
    result = CliRunner().invoke(app, ["speak", file, "--json", *arguments], input=given, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def texts(said: Any) -> list[str]:
    """Give the texts of the pieces."""
    return [piece["text"] for piece in said["pieces"]]


def whole(setting: str = "default", text: str = TEXT) -> str:
    """Give what the voice chain makes of a text that is fed whole."""
    chain = speech_of(setting).chain()
    return chain.feed(text) + chain.flush()


def piped(given: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run the real command on standard input."""
    return subprocess.run(
        [*OFFHOOK, "speak", "-", *arguments], input=given, capture_output=True, check=False, timeout=30
    )


def test_a_file_is_spoken_in_sentences() -> None:
    """Each piece is a sentence, and together they are what the voice chain gives."""
    said = spoken()
    assert said.keys() == {"speech", "pieces"}
    assert said["speech"] == "default"
    assert all(piece.keys() == {"text", "begin", "end", "given", "waited", "seconds"} for piece in said["pieces"])
    assert "".join(texts(said)) == whole()
    assert [text.strip() for text in texts(said)][:3] == [
        "Answer.",
        "It is 3.",
        "See our page or write to bob at example dot com.",
    ]


def test_a_piece_knows_its_place() -> None:
    """From ``begin`` to ``end`` the source has the words of the piece, and what it waited for stands behind them."""
    for piece in spoken("--cut", "3")["pieces"]:
        source = TEXT[piece["begin"] : piece["end"]]
        assert piece["waited"] == piece["given"] - piece["end"] >= 0
        words = piece["text"].strip().rstrip(".")
        if "code example" in words:
            assert source == ""  # The chain itself has said that.
        elif "example dot com" in words:
            assert source.startswith("See [our page](") and source.endswith("bob@example.com.")
        else:
            assert source.replace("**", "").replace(" | ", ", ").rstrip(".").endswith(words)


def test_the_seconds_are_those_at_the_models_pace() -> None:
    """At 10 characters a second, a piece that began 8 characters ago took 0.8 seconds."""
    (piece,) = spoken("--pace", "10", "--cut", "1", given="So it is", file="-")["pieces"]
    assert (piece["begin"], piece["given"], piece["seconds"]) == (0, 8, 0.8)


@pytest.mark.parametrize("cut", ["1", "2", "7", "100000"])
def test_cuts_make_no_difference(cut: str) -> None:
    """However much the model writes at a time, the same pieces come out."""
    assert texts(spoken("--cut", cut)) == texts(spoken())


def test_with_tokens_the_words_go_out_at_once() -> None:
    """``--tokens`` shows more pieces and the same words."""
    said = spoken("--tokens", "--cut", "1")
    assert "".join(texts(said)) == whole()
    assert len(said["pieces"]) > 2 * len(spoken()["pieces"])
    assert min(piece["waited"] for piece in said["pieces"]) == 0


@pytest.mark.parametrize("setting", ["none", "think,markdown", "default,-emoji"])
def test_the_chain_is_the_one_that_was_asked_for(setting: str) -> None:
    """``--speech`` takes what the setting takes."""
    said = spoken("--speech", setting)
    assert said["speech"] == setting
    assert "".join(texts(said)) == whole(setting)


def test_links_may_be_dropped() -> None:
    """``--links drop`` leaves addresses out."""
    assert "example" not in "".join(texts(spoken("--links", "drop"))).replace("code example", "")


def test_numbers_are_put_into_words() -> None:
    """``default,numbers`` says them; the place of the piece is that of the digits."""
    pytest.importorskip("wetext", reason="optional: wetext is not installed")
    said = spoken("--speech", "default,numbers", given="It costs $5 today. Yes.", file="-")
    assert texts(said) == ["It costs five dollars today. ", "Yes."]
    assert [(piece["begin"], piece["end"]) for piece in said["pieces"]] == [(0, 18), (19, 23)]


def test_the_platform_has_its_tags_and_its_setting(folder: Path) -> None:
    """``--platform`` disarms that platform's tags, and what ``[dialect.NAME]`` says of speech is done."""
    text = "Bye. <imsagent_hangup/>"
    assert texts(spoken("--platform", "alibaba_ims", given=text, file="-")) == ["Bye. "]
    assert "imsagent_hangup" in "".join(texts(spoken("--speech", "think,tags", given=text, file="-")))
    (folder / "offhook.toml").write_text("speech = 'think'\n[dialect.vapi]\nspeech = 'none'\n", "utf-8")
    assert spoken("--platform", "vapi")["speech"] == "none"
    assert spoken()["speech"] == "think"
    assert spoken("--platform", "vapi", "--speech", "markdown")["speech"] == "markdown"


def test_added_words_are_in_the_language_of_the_platform(folder: Path) -> None:
    """A block of code is named in Chinese on a Chinese platform, unless an option or ``--language`` says otherwise."""
    code = "```python\nprint(1)\n```\n"
    chinese = "".join(texts(spoken("--platform", "trtc", given=code, file="-")))
    assert not chinese.isascii()
    assert "".join(texts(spoken(given=code, file="-"))).isascii()
    assert "".join(texts(spoken("--platform", "trtc", "--language", "en", given=code, file="-"))).isascii()
    (folder / "offhook.toml").write_text("[dialect.trtc]\nlanguage = 'en'\n", "utf-8")
    assert "".join(texts(spoken("--platform", "trtc", given=code, file="-"))).isascii()


def test_standard_input_is_read() -> None:
    """``-`` is standard input; without ``--json`` each piece is a line, under a header: waited, seconds, words."""
    done = piped(b"It is **3.** Yes.\n")
    header, *lines = [line.split(maxsplit=2) for line in done.stdout.decode().splitlines()]
    assert header == ["waited", "seconds", "spoken"]
    assert [words for _, _, words in lines] == ["It is 3.", "Yes."]
    assert all(waited.isdigit() and float(seconds) > 0 for waited, seconds, _ in lines)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_text_without_words_has_no_header() -> None:
    """Where nothing is spoken nothing is printed."""
    done = piped(b"<think>No.</think>")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_what_is_shown_cannot_command_the_terminal() -> None:
    """A control character of the text is made visible."""
    assert b"\x1b" not in piped(b"Red \x1b[31m text.").stdout


@pytest.mark.parametrize(
    ("given", "pieces"),
    [
        (b"", []),
        (b" \n\n", []),
        (b"\xef\xbb\xbfHello.", ["Hello."]),
        ("\u4f60\u597d\u3002".encode(), ["\u4f60\u597d\u3002"]),
        (b"Caf\xe9 \xff.", ["Caf\ufffd \ufffd."]),
        ("Caf\u00e9".encode()[:-1], ["Caf\ufffd"]),
    ],
)
def test_any_bytes_are_read(given: bytes, pieces: list[str]) -> None:
    """A byte order mark is no text, and what is no UTF-8 is a replacement character."""
    assert [text for text in texts(spoken(given=given, file="-")) if text.strip()] == pieces


@pytest.mark.parametrize("name", ["missing.md", "."])
def test_what_cannot_be_read_is_one_line(name: str) -> None:
    """A missing file or a folder is named on standard error, and the exit code is 2."""
    done = subprocess.run([*OFFHOOK, "speak", name], capture_output=True, check=False, timeout=30)
    assert done.returncode == 2
    assert done.stderr.startswith(f"offhook: {name} cannot be read: ".encode())
    assert (done.stderr.count(b"\n"), done.stdout) == (1, b"")


@pytest.mark.parametrize(
    "arguments",
    [("--speech", "aloud"), ("--speech", ""), ("--links", "sing"), ("--platform", "twilio")],
)
def test_a_wrong_word_is_refused(arguments: tuple[str, str]) -> None:
    """A word that names nothing is told, with the right ones."""
    with pytest.raises(SetupError):
        CliRunner().invoke(app, ["speak", "text.md", *arguments], catch_exceptions=False)


def test_who_reads_no_further_is_left_alone(folder: Path) -> None:
    """With its reader gone the command ends without a traceback."""
    (folder / "long.md").write_text("So it is. " * 20_000, "utf-8")
    with subprocess.Popen([*OFFHOOK, "speak", "long.md"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        process.wait(30)


def test_pieces_are_shown_as_they_come_and_ctrl_c_ends_it() -> None:
    """What is written to its standard input is shown before that ends; Ctrl-C ends it without a traceback."""
    with subprocess.Popen(
        [*OFFHOOK, "speak", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        process.stdin.write(b"It is so. And this is a second sentence. ")
        process.stdin.flush()
        assert process.stdout.readline().split() == [b"waited", b"seconds", b"spoken"]
        assert process.stdout.readline().endswith(b"It is so.\n")
        process.send_signal(signal.SIGINT)
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(30) == 130


@pytest.mark.parametrize(
    "text",
    ["So it is, and so on. " * 50_000, "word " * 200_000, "<think>" + "a b " * 250_000 + "</think>Yes."],
    ids=["sentences", "words", "reasoning"],
)
def test_a_long_text_takes_no_longer_for_a_character(text: str) -> None:
    """A megabyte is spoken within the time limit of a test, cut in fours."""
    speaker = Speaker(speech_of("default"), (), sentences=True, language="en", pace=60)
    said = [piece for start in range(0, len(text), 4) for piece in speaker.feed(text[start : start + 4])]
    said.extend(speaker.flush())
    assert "".join(piece.text for piece in said) == whole(text=text)
    assert said[-1].given == len(text)
    assert said[-1].end >= len(text.rstrip()) - 1
