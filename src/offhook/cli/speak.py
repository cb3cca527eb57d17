"""``offhook speak``: what would be spoken of a text, piece by piece."""

from __future__ import annotations

import codecs
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from offhook.cli.calls import JsonOption
from offhook.cli.calls_view import console, shown
from offhook.cli.options import ConfigOption
from offhook.cli.speak_pieces import Piece, Speaker
from offhook.config import load
from offhook.dialects.choose import named
from offhook.errors import SetupError
from offhook.server.build import dialect_options
from offhook.server.speech import check_numbers
from offhook.speech.numbers import spoken
from offhook.speech.rules import speech_of

_READ = 65_536

SpeechOption = Annotated[
    str | None,
    typer.Option(
        help="What is done to the text: 'default', 'none', or names such as 'think,markdown' or 'default,numbers' "
        "[default: the setting].",
        show_default=False,
    ),
]
LinksOption = Annotated[
    str | None,
    typer.Option(help="URLs and e-mail addresses: read, drop or keep [default: the setting].", show_default=False),
]
PlatformOption = Annotated[
    str, typer.Option(help="The dialect whose control tags are disarmed and whose settings count.")
]
LanguageOption = Annotated[
    str | None,
    typer.Option(
        help="Language of added words until the text tells its own [default: the platform's].", show_default=False
    ),
]
TokensOption = Annotated[bool, typer.Option("--tokens", help="Show what goes out at once, and not whole sentences.")]
CutOption = Annotated[int, typer.Option(min=1, help="Characters that the model writes at a time.")]
PaceOption = Annotated[float, typer.Option(min=0.1, help="Characters that the model writes in a second.")]


def speak(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The text, as a model wrote it; '-': standard input.")],
    speech: SpeechOption = None,
    links: LinksOption = None,
    platform: PlatformOption = "plain",
    language: LanguageOption = None,
    tokens: TokensOption = False,
    cut: CutOption = 4,
    pace: PaceOption = 60.0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what would be spoken of a text, piece by piece, and how long each piece waited.

    A piece waits for the characters behind it that decide what it is; the seconds are those from its first
    character to its going out, at the pace of the model.

    \b
    Examples:
      offhook speak answer.md
      offhook speak answer.md --speech default,numbers --json
      offhook speak - --platform alibaba_ims --language zh < answer.txt
    """
    settings = load({"speech_links": links}, config=config).settings
    dialect = named(platform)
    options = dialect_options(settings.dialect).get(dialect.name)
    setting = settings.speech
    for said in (speech, options.speech if options else None):
        if said is not None:
            setting = said
            break
    rules = speech_of(setting, settings.speech_links)
    numbers = _numbers() if rules.numbers else None
    # Sentences are what a person wants to see, whatever the platform takes.
    language = language or (options.language if options else None) or dialect.language
    speaker = Speaker(rules, dialect.tags, sentences=not tokens, language=language, pace=pace, numbers=numbers)
    pieces = _pieces(speaker, _read(file), cut)
    if as_json:
        found = [msgspec.to_builtins(piece) for piece in pieces]
        typer.echo(msgspec.json.encode({"speech": setting, "pieces": found}).decode())
    elif sys.stdout.isatty():
        console().print(_table(pieces))
    else:
        for number, piece in enumerate(pieces):
            if number == 0:
                # Only now: a text that cannot be read has no line but the one that says so.
                typer.echo(f"{'waited':>6}  {'seconds':>7}  spoken")
            typer.echo(f"{piece.waited:>6}  {piece.seconds:>7.3f}  {shown(piece.text.strip()).plain}")


def _numbers() -> Callable[[str, str], str]:
    check_numbers()
    return spoken


def _pieces(speaker: Speaker, texts: Iterator[str], cut: int) -> Iterator[Piece]:
    for text in texts:
        for start in range(0, len(text), cut):
            yield from speaker.feed(text[start : start + cut])
    yield from speaker.flush()


def _read(name: str) -> Iterator[str]:
    """Give the text of a file, or of standard input as it comes. Raises SetupError when it cannot be read."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    try:
        with contextlib.ExitStack() as stack:
            # What somebody types is there at once, and not only when enough has come.
            source = sys.stdin.buffer if name == "-" else stack.enter_context(Path(name).open("rb"))
            while data := source.read1(_READ):  # type: ignore[union-attr]  # mypy's BinaryIO lacks it
                if text := decoder.decode(data):
                    yield text
    except OSError as error:
        raise SetupError(f"{name} cannot be read: {error.strerror}.") from None
    if text := decoder.decode(b"", final=True):
        yield text


def _table(pieces: Iterator[Piece]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("waited", justify="right", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("spoken")
    for piece in pieces:
        table.add_row(str(piece.waited), f"{piece.seconds:.3f}", shown(piece.text.strip()))
    return table
