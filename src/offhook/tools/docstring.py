"""What a docstring says of a function and of its parameters: Google's ``Args:`` and reST's ``:param x:``."""

from __future__ import annotations

import re

_SECTION = re.compile(r"(Args|Arguments|Parameters|Params):[ \t]*", re.IGNORECASE)
_FIELD = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)")
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_OTHER_FIELD = re.compile(r":\w+[^:]*:")


def first_paragraph(docstring: str) -> str:
    """Give the first paragraph in one line; it ends where the parameters begin, too."""
    lines = []
    for line in docstring.strip().splitlines():
        if not line.strip() or _SECTION.fullmatch(line.strip()) or _OTHER_FIELD.match(line.strip()):
            break
        lines.append(line.strip())
    return " ".join(lines)


def parameter_lines(docstring: str) -> dict[str, str]:
    """Give what is said of each parameter, in one line each; the docstring is without its own indentation."""
    found: dict[str, list[str]] = {}
    of: list[str] | None = None
    # How far the entries of the section are indented, None outside of one, 0 before its first.
    section: int | None = None
    deep = 0
    for raw in docstring.expandtabs().splitlines():
        line = raw.strip()
        indent = len(raw) - len(raw.lstrip())
        if not line:
            of = None
        elif indent == 0 and _SECTION.fullmatch(line):
            section, of = 0, None
        elif field := _FIELD.match(line):
            of, deep = found.setdefault(field[1], [field[2]]), indent
        elif section is not None and indent > 0 and indent <= (section or indent):
            section = indent
            entry = _ENTRY.match(line)
            of, deep = (found.setdefault(entry[1], [entry[2]]), indent) if entry else (None, 0)
        elif of is not None and indent > deep:
            of.append(line)
        elif indent == 0:
            section, of = None, None
    return {name: " ".join(filter(None, words)) for name, words in found.items() if any(words)}
