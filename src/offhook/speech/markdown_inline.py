"""What stands inside a line of Markdown: which marks are markup and which are arithmetic, names or prices."""

from __future__ import annotations

import re
from html.entities import html5

from offhook.speech.markdown_blocks import CJK

# Nothing inside a line is held back longer, in characters.
LIMIT = 300
# An address behind a link's text is passed over, so it may be longer.
ADDRESS = 1000

_CJK = re.compile(f"[{CJK}]")
_END_MARKS = frozenset(".!?,;:。！？，、；：….．")

# --- emphasis -----------------------------------------------------------------------------------------------------


def _ascii_word(character: str) -> bool:
    return character.isascii() and character.isalnum()


def is_cjk(character: str) -> bool:
    """Tell whether a character is Chinese, Japanese or their punctuation."""
    return _CJK.match(character) is not None


def ends_itself(character: str) -> bool:
    """Tell whether a line that ends with the character needs no full stop."""
    return character in _END_MARKS


def keeps_stars(run: int, before: str, last: str, after: str, *, is_open: bool, called: bool = False) -> bool:
    """Tell whether a run of stars is no emphasis but multiplication, a power, a file pattern or a mark of a name.

    ``before`` and ``after`` are the characters beside it, blank or empty at a line's ends, and ``last`` is the last one
    that was not blank; ``called`` tells that a bracket before it stands behind a name. CommonMark's flanking rules are
    stricter and fail beside full-width punctuation.
    """
    blank_before, blank_after = not before.strip(), not after.strip()
    if blank_before and blank_after:
        if after in {"", "\n"}:
            return False
        return bool(last) and (run == 1 or (run == 2 and (last.isdigit() or last == ")")))
    if run > 2:
        return False
    if before == "(" and called:
        return True
    if run == 1 and blank_before and last.isdigit() and after.isdigit() and not is_open:
        return True
    joins = (_ascii_word(before) or before in {")", "]"}) and (_ascii_word(after) or after == "(")
    if joins:
        digit = before.isdigit() or after.isdigit()
        return (digit or not is_open) if run == 1 else digit and not is_open
    if run == 1 and not blank_before and not after.isalnum():
        return not is_open and _ascii_word(before) and not is_cjk(after) and after not in {"_", "`"}
    return False


def keeps_underscores(run: int, before: str, after: str, *, is_open: bool) -> bool:
    """Tell whether a run of underscores is a part of a name."""
    if before in _PLEAS and after in _PLEAS:
        return True
    if not (before.isalnum() and after.isalnum()):
        return False
    if is_cjk(before) and (is_open or is_cjk(after)):
        return False
    return run == 1 or (run == 2 and not is_open and not (is_cjk(before) or is_cjk(after)))


_PLEAS = frozenset("<>")
# The name of a file, such as __init__.py, and no emphasis.
DUNDER = re.compile(r"(__(?=[a-z])[a-z0-9_]{1,40}?__)\.[a-z]")
DUNDER_BEGUN = re.compile(r"__[a-z][a-z0-9_]{0,42}\.?")

# What stands a little lower or higher: H~2~O, x^2^, 1^st^. One that goes on with a digit is a range, 5~10~15, and what
# has other letters may be a face, ^o^, or a voice that sings, ok~yes~.
SCRIPTS = {
    "~": re.compile(r"~([0-9]{1,4}[+-]?|[a-z])~(?![0-9~])"),
    "^": re.compile(r"\^([+-]?[0-9]{1,4}[+-]?|st|nd|rd|th|TM|[a-np-uxyz+-])\^(?![0-9^])"),
}
SCRIPTS_BEGUN = {"~": re.compile(r"~(?:[0-9]{0,4}[+-]?|[a-z])~?"), "^": re.compile(r"\^[0-9A-Za-z+-]{0,6}\^?")}


def keeps_equals(run: int, before: str, after: str, *, is_open: bool) -> bool:
    """Tell whether a run of equals signs is a comparison."""
    if run != 2:
        return True
    blank_before, blank_after = not before.strip(), not after.strip()
    if is_open:
        return blank_before
    return blank_after or _ascii_word(before) or before in {")", "]", "!", "<", ">"}


# --- links --------------------------------------------------------------------------------------------------------

_LABEL = r"(?:[^\[\]\\\n]|\\[^\n]|\[(?:[^\[\]\\\n]|\\[^\n])*+\](?:\([^()\s]*+\))?)*+"
LINK_TEXT = re.compile(rf"\[({_LABEL})\]")
LINK_TEXT_BEGUN = re.compile(
    r"\[(?:[^\[\]\\\n]|\\[^\n]|\[(?:[^\[\]\\\n]|\\[^\n])*+(?:\](?:\([^()\s]*+\)?)?|\\?\Z))*+\\?"
)
_ADDRESS = r"(?:<[^<>\n]*+>|[^\s()<](?:[^\s()]|\([^\s()]*+\))*+)?"
_TITLE = r"""(?:"[^"\n]*+"|'[^'\n]*+'|\([^()\n]*+\)|“[^”\n]*+”)"""
LINK_ADDRESS = re.compile(rf"\([ \t]*+{_ADDRESS}(?:[ \t]++{_TITLE})?[ \t]*+\)")
LINK_ADDRESS_BEGUN = re.compile(
    r"\([ \t]*+(?:<[^<>\n]*+>?|[^\s()<](?:[^\s()]|\([^\s()]*+(?:\)|\Z))*+)?"
    r"""(?:[ \t]++(?:"[^"\n]*+"?|'[^'\n]*+'?|\([^()\n]*+\)?|“[^”\n]*+”?)?[ \t]*+)?"""
)
REFERENCE = re.compile(r"\[(?:\d{1,3}|[a-z0-9_-]{0,30})\]")
REFERENCE_BEGUN = re.compile(r"\[(?:\d{1,3}|[a-z0-9_-]{0,30})")
FOOTNOTE = re.compile(r"\[\^[^\]\s\[]{1,40}\]")
FOOTNOTE_BEGUN = re.compile(r"\[\^[^\]\s\[]{0,40}")
# A bracket in front of words; shorter ones, such as [x] and [1], stay.
LABEL = re.compile(rf"\[(?:[^\W\d_]{{4}}|(?=[^\W\d_])[^\[\]\n`]{{4}}|[{CJK}])")
LABEL_BEGUN = re.compile(rf"\[(?:/|/?I|/?IN|/?INS|/?INST|(?![{CJK}])[^\W\d_](?:[^\[\]\n`]{{0,2}}))?")
# What some models write around a turn.
MODEL_MARK = re.compile(r"\[/?INST\]")
_LETTERS = re.compile(rf"[^\W\d_]{{2}}|[{CJK}]")


def may_be_reference(label: str, before: str) -> bool:
    """Tell whether a text in brackets may be a reference link, and not an index such as ``m[i][j]``."""
    return bool(_LETTERS.search(label)) and not before.isalnum() and before not in {"]", ")", "_"}


# --- HTML ---------------------------------------------------------------------------------------------------------

_NAME = r"[A-Za-z][A-Za-z0-9_:-]*+"
# Commas behind values are no HTML; the control tags of platforms have them.
_KEY = r"[A-Za-z_:][A-Za-z0-9_.:-]*+"
_VALUE = r"""(?:"[^"<]*+"|'[^'<]*+'|[^\s"'=<>`]++)"""
_ATTRIBUTES = rf"(?:\s++{_KEY}(?:\s*+=\s*+{_VALUE},?+)?)*+"
TAG = re.compile(rf"</({_NAME})\s*+>|<({_NAME}){_ATTRIBUTES}\s*+/?>")
# Greedy and not possessive: an attribute's name may be what the text ends with.
TAG_BEGUN = re.compile(
    rf"<(?:/(?:{_NAME}\s*+)?|{_NAME}(?:\s+{_KEY}(?:\s*+=\s*+{_VALUE},?+)?)*+"
    rf"""(?:\s*+=\s*+(?:"[^"<]*+|'[^'<]*+)?|\s*+/?))?"""
)
# A place to fill in, such as <<Your Name>>.
BLANK = re.compile(r"<<([^\W\d][^<>\n]{0,79})>>")
BLANK_BEGUN = re.compile(r"<<(?:[^\W\d][^<>\n]{0,79}>?)?")
AUTOLINK = re.compile(r"<([A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]{1,400}|[\w.+-]{1,64}@[\w.-]{1,200})>")
AUTOLINK_BEGUN = re.compile(r"<(?:[A-Za-z][A-Za-z0-9+.-]{0,31}(?::[^\s<>]{0,400})?|[\w.+-]{1,64}(?:@[\w.-]{0,200})?)")
OPENED = re.compile(r"<!--|<!\[CDATA\[|<!(?=[A-Za-z])|<\?(?=[A-Za-z])")
OPENED_BEGUN = re.compile(r"<(?:!(?:-|\[C?D?A?T?A?)?|\?)?")
CLOSES = {"<!--": "-->", "<![CDATA[": "]]>", "<!": ">", "<?": "?>"}
_ENTITY = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z][A-Za-z0-9]{1,31}));")
ENTITY_BEGUN = re.compile(r"&(?:#(?:\d{0,7}|[xX][0-9a-fA-F]{0,6})|[A-Za-z][A-Za-z0-9]{0,31})?")


def entity(text: str, at: int) -> tuple[str, int] | None:
    """Give the character that an entity at ``at`` stands for, and where the entity ends."""
    found = _ENTITY.match(text, at)
    if found is None:
        return None
    decimal, sixteen, name = found.groups()
    if name:
        decoded = html5.get(name + ";")
        if decoded is None:
            return None
    else:
        code = int(decimal) if decimal else int(sixteen, 16)
        valid = 0x20 <= code < 0xD800 or 0xDFFF < code <= 0x10FFFF
        decoded = chr(code) if valid else " "
    return (decoded if decoded.strip() else " "), found.end()


# --- code ---------------------------------------------------------------------------------------------------------

_CODE_TAG = re.compile(r"<(/?[A-Za-z!][^<>]{0,200}?)/?>")
_CODE_MARKS = re.compile(r"(?<![0-9A-Za-z)])\*{2,}|\*{2,}(?![0-9A-Za-z(])|`+|^#{1,6} |!?\[([^\[\]]*)\]\([^()\s]*\)")


def code_words(code: str) -> str:
    """Give the words of a piece of inline code: as they are, but for what would be heard as a mark, such as ``<p>``."""
    code = _CODE_TAG.sub(r"\1", code)
    return _CODE_MARKS.sub(r"\1", code).strip() if code.strip() else ""


# --- formulas -----------------------------------------------------------------------------------------------------

# A price: no formula goes on like this behind a number.
_PRICE = re.compile(
    rf"\$\d[\d,.]*+(?:[KkMmBb]?(?:[ \t]?[)!?:;%|\"”’]|[ \t][A-Za-z(]{{2}}|[-–—]\$|[ \t]?[{CJK}])|[A-Za-z]{{2}})"
)
_PROSE = re.compile(rf"(?<![\\{{A-Za-z])[A-Za-z]{{2,}},? [A-Za-z]{{2,}}|[{CJK}]")
_BRACED = re.compile(r"\{[^{}$]*+\}?")


def is_prose(inside: str) -> bool:
    """Tell whether a text holds words, as no formula does outside braces."""
    return _PROSE.search(_BRACED.sub("", inside)) is not None


def dollar(text: str, at: int, *, more: bool) -> int | None:
    """Give the end of the formula that a lone dollar sign opens, 0 for none, None for not yet known."""
    after = text[at + 1 : at + 2]
    if not after:
        return None if more else 0
    if after.isspace() or after == "$" or _PRICE.match(text, at, at + LIMIT - 1):
        return 0
    end = at + 1
    while True:
        end = text.find("$", end, at + LIMIT - 1)
        if end < 0 or text[end - 1] != "\\":
            break
        end += 1
    inside = text[at + 1 : end if end >= 0 else at + LIMIT - 1]
    line, newline, _ = inside.partition("\n")
    if newline or is_prose(line):
        return 0
    if end < 0:
        return None if more else 0
    if text[end - 1].isspace():
        return 0
    if end + 1 == len(text) and more:
        return None
    return 0 if text[end + 1 : end + 2].isdigit() else end + 1


FORMULAS = {r"\(": r"\)", r"\[": r"\]", "$$": "$$"}
COMMAND = re.compile(r"\\([A-Za-z]{2,20})(?:[ \t]?\{(?:[^{}\n]|\{(?:[^{}\n]|\{[^{}\n]*+\})*+\})*+\})*")
COMMAND_BEGUN = re.compile(
    r"\\[A-Za-z]{0,20}(?:[ \t]?\{(?:[^{}\n]|\{(?:[^{}\n]|\{[^{}\n]*+(?:\}|\Z))*+(?:\}|\Z))*+(?:\}|\Z))*[ \t]?"
)
