"""Tells tags from words in angle brackets: ``<p>`` and ``<tool_call>`` from ``<Enter>`` and ``<int>``."""

from __future__ import annotations

import re

# The elements of HTML, living standard, section 3.2.2, and those that were dropped from it and are still written.
ELEMENTS = frozenset(
    "a abbr acronym address area article aside audio b base bdi bdo big blockquote body br button canvas"  # noqa: SIM905  a list has a line for each
    " caption center cite code col colgroup data datalist dd del details dfn dialog div dl dt em embed"
    " fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr"
    " html i iframe img input ins kbd label legend li link main map mark menu meta meter nav noscript"
    " object ol optgroup option output p param picture pre progress q rp rt ruby s samp script search"
    " section select slot small source span strike strong style sub summary sup svg table tbody td"
    " template textarea tfoot th thead time title tr tt u ul var video wbr math".split()
)
# What models are taught to write around a part of their answer, and the marks of SSML 1.1.
_MODEL = (
    *("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad", "analysis", "answer"),
    *("final_answer", "final", "response", "output", "result", "results", "solution", "conclusion", "context"),
    *("document", "documents", "tool_call", "tool_calls", "tool_response", "tool", "tools", "tool_code", "function"),
    *("function_call", "function_calls", "invoke", "parameter", "arguments", "system", "user", "assistant", "human"),
    *("speak", "voice", "prosody", "emphasis", "break", "phoneme", "say-as", "lang", "lexicon", "desc", "sentence"),
)
MODEL = frozenset(_MODEL)
# A tag that stands for a line's end, and one behind which a sentence ends.
BREAKS = frozenset(
    "br p div ul ol tr table hr dl dd blockquote section pre details".split()  # noqa: SIM905  as above, in one line
)
SENTENCES = frozenset({"li", "h1", "h2", "h3", "h4", "h5", "h6", "dt", "title", "caption", "summary"})
CELLS = frozenset({"td", "th"})
SILENT = frozenset({"script", "style"})
# They break a line wherever they stand.
_ALWAYS = frozenset({"br", "hr"})

# Special tokens of models, such as <|im_end|>, and the marks around a system prompt.
TOKEN = re.compile(r"<[|\uff5c][^<>|\uff5c\n]{1,40}[|\uff5c]>|<</?SYS>>")
TOKEN_BEGUN = re.compile(r"<(?:[|\uff5c](?:[^<>|\uff5c\n]{1,40}[|\uff5c]?)?|</?(?:S|SY|SYS>?)?)?")


def _begun(names: tuple[str, ...]) -> str:
    """Give the pattern of all that a name begins with."""
    parts = sorted({name[:length] for name in names for length in range(1, len(name) + 1)}, key=len, reverse=True)
    return "|".join(map(re.escape, parts))


# Models trained by rewards write the tag of their answer in many ways.
_LOOSE = ("answer", "output", "response", "thinking", "thought", "think", "reasoning")
LOOSE_TAG = re.compile(rf"<[ *]{{0,4}}(/?)[ *]{{0,4}}({'|'.join(_LOOSE)})[ *]{{0,4}}>", re.IGNORECASE)
LOOSE_TAG_BEGUN = re.compile(
    rf"<[ *]{{0,4}}(?:/[ *]{{0,4}})?(?:(?:{'|'.join(_LOOSE)})[ *]{{0,4}}|{_begun(_LOOSE)})?", re.IGNORECASE
)
# One that is written with entities.
_NAMES = "|".join(sorted(map(re.escape, _MODEL), key=len, reverse=True))
HIDDEN = re.compile(rf"&lt;/?(?:{_NAMES})(?:&gt;|>)", re.IGNORECASE)
HIDDEN_BEGUN = re.compile(rf"&lt;/?(?:(?:{_NAMES})&(?:g|gt)?|{_begun(_MODEL)})?", re.IGNORECASE)


def is_tag(name: str, inside: str) -> bool:
    """Tell whether a name is that of a tag, where ``inside`` is all behind the first bracket; others may be words.

    ``<Menu>`` is a key: elements are written in small letters, or all in capitals.
    """
    known = name.lower() in ELEMENTS and (name.islower() or name.isupper())
    return known or "=" in inside or inside.endswith("/>") or name.lower() in MODEL


# What some platform takes for a command and looks like words: nobody means them where another platform is spoken to.
_WORDS = re.compile(r"<(?:no\s++interrupting|imsagent_[^<>]*+)\s*+/?>", re.IGNORECASE)


def is_command(name: str, tag: str) -> bool:
    """Tell whether a tag is a command of some platform, such as ``<imsagent_hangup/>`` and ``<No Interrupting>``."""
    return ("_" in name and (tag.endswith("/>") or "=" in tag)) or _WORDS.fullmatch(tag) is not None


def is_mentioned(name: str, before: str, *, closing: bool) -> bool:
    """Tell whether a tag that ends a line may be one that the sentence is about: ``Use <p> for text``."""
    return before == " " and (name in BREAKS - _ALWAYS or (name in SENTENCES and not closing))


def is_pair(name: str, inside: str, before: str, after: str) -> bool:
    """Tell whether an unknown name is that of a tag around something: ``<city>Paris</city>``.

    One with a capital only at a line's start: ``<Reply>Yes.</Reply>``.
    """
    if name != inside or before.isalnum() or not (name.islower() or (not before and after.isascii())):
        return False
    return after.isalnum() or after == "<" or (after == "\n" and not before)
