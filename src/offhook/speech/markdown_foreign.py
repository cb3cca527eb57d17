"""Takes what stands in a line of Markdown and is none: HTML, entities, formulas and escaped characters."""

from __future__ import annotations

import re

from offhook.speech import kaomoji
from offhook.speech import markdown_inline as inline
from offhook.speech import markdown_tags as tags
from offhook.speech.latex import formula_name, is_command, speak_formula
from offhook.speech.markdown_inline import LIMIT
from offhook.speech.markdown_line import PARAGRAPH, Line
from offhook.speech.tags import begins_tag

# Formulas are held back to their end; a longer one is named.
_FORMULA = 400
_FORMULA_UNTIL = re.compile(r"[)\]$}\n]")
_COMMAND = 400
_SIGNS = 16
_WHOLE = (inline.AUTOLINK, inline.OPENED, inline.TAG, tags.LOOSE_TAG, tags.TOKEN)
_BEGUN = (inline.TAG_BEGUN, tags.LOOSE_TAG_BEGUN, inline.AUTOLINK_BEGUN, inline.OPENED_BEGUN, tags.TOKEN_BEGUN)
# What CommonMark takes for a tag behind a word and is none: a<b and c>d.
_COMPARISON = re.compile(r"<[A-Za-z][A-Za-z0-9-]*(?:\s+[A-Za-z_:][A-Za-z0-9_.:-]*)+>")
# Marks that may be dropped.
_JOINING = frozenset("*_`~[&\\")


class Foreign(Line):
    """The part of a line's marks that are not Markdown's own."""

    __slots__ = ()

    # --- HTML -----------------------------------------------------------------------------------------------------

    def _angle(self, text: str, at: int, final: bool) -> int:
        more = not final and len(text) - at < LIMIT
        link = inline.AUTOLINK.match(text, at, at + LIMIT)
        if link:
            self._voice.say(link[1])
            return link.end()
        token = tags.TOKEN.match(text, at)
        if token:
            return token.end()
        if text.startswith("<", at + 1) and not self._voice.before.isalnum():
            place = inline.BLANK.match(text, at)
            if place:
                self._voice.say(place[1])
                return place.end()
            if more and inline.BLANK_BEGUN.fullmatch(text, at):
                return self._hold(text, at)
        opened = inline.OPENED.match(text, at)
        if opened:
            self._skip = inline.CLOSES[opened[0]]
            self._mode = type(self)._pass_over
            return opened.end()
        found = inline.TAG.match(text, at, at + LIMIT)
        if found and (
            not (self._voice.before.isalnum() and _COMPARISON.fullmatch(found[0]))
            or tags.is_command(found[1] or found[2], found[0])
        ):
            return self._named(text, found, final)
        loose = tags.LOOSE_TAG.match(text, at)
        if loose:
            return loose.end()
        if more and any(begun.fullmatch(text, at) for begun in _BEGUN):
            return self._hold(text, at)
        return self._sign(text, at, final)

    def _named(self, text: str, found: re.Match[str], final: bool) -> int:
        """Take a name in angle brackets, which is a tag or words."""
        name, end = found[1] or found[2], found.end()
        voice = self._voice
        if self._tags and begins_tag(found[0], self._tags):
            # The platform's own is for a shaper behind this one.
            voice.say(found[0])
            return end
        if tags.is_command(name, found[0]):
            return end
        closing = bool(found[1])
        inside = found[0].strip("</> \t\n")
        before = voice.before
        known = closing or tags.is_tag(name, found[0][1:])
        mentioned = known and bool(voice.tail) and tags.is_mentioned(name.lower(), before, closing=closing)
        if end == len(text) and not final and (mentioned or not known):
            return self._hold(text, found.start())
        after = text[end : end + 1]
        if mentioned and not (after.isalnum() or after in {"<", "\n", "\r"}):
            return end
        if known:
            self._tag(name.lower(), closing=closing)
        elif not tags.is_pair(name, inside, before, after):
            lead = " " if before.isascii() and before.isalnum() else ""
            voice.say(lead + inside.replace("_", " ") + (" " if after.isascii() and after.isalnum() else ""))
        return end

    def _sign(self, text: str, at: int, final: bool) -> int:
        """Take less-than signs, which are dropped where the drop of what is behind them would make a tag of them."""
        signs = text[at : at + _SIGNS]
        end = at + len(signs) - len(signs.lstrip("<"))
        if end == len(text) and not final:
            return self._hold(text, at)
        last = end - 1
        if last > at:
            more = not final and len(text) - last < LIMIT
            if more and any(begun.fullmatch(text, last) for begun in _BEGUN):
                return self._hold(text, at)
            if any(whole.match(text, last, last + LIMIT) for whole in _WHOLE):
                return last
        after = text[end : end + 1]
        if after == "$" and end + 1 == len(text) and not final:
            return self._hold(text, at)
        if after in _JOINING or (after == "$" and not text[end + 1 : end + 2].isdigit()):
            return end
        self._voice.say(text[at:end])
        return end

    def _tag(self, name: str, *, closing: bool) -> None:
        voice = self._voice
        if name in tags.SILENT and not (closing or voice.tail):
            # In the middle of a line the words are about the tag.
            self._skip = f"</{name}"
            self._mode = type(self)._pass_over
        elif name in tags.CELLS or (voice.row and name in tags.BREAKS):
            if voice.row:
                voice.separate()
            elif voice.tail and not closing:
                voice.say(voice.pause())
        elif name in tags.SENTENCES or name in tags.BREAKS:
            if name in tags.SENTENCES:
                voice.stop()
            voice.newline()

    def _entity(self, text: str, at: int, final: bool) -> int:
        if text.startswith("&lt;", at):
            hidden = tags.HIDDEN.match(text, at)
            if hidden:
                return hidden.end()
            if not final and tags.HIDDEN_BEGUN.fullmatch(text, at):
                return self._hold(text, at)
        found = inline.entity(text, at)
        if found:
            self._voice.say(found[0])
            return found[1]
        if not final and inline.ENTITY_BEGUN.fullmatch(text, at):
            return self._hold(text, at)
        return self._literal(text, at, final)

    # --- formulas -------------------------------------------------------------------------------------------------

    def _dollar(self, text: str, at: int, final: bool) -> int:
        if at + 1 == len(text) and not final:
            return self._hold(text, at)
        if text.startswith("$$", at):
            return self._formula(text, at, "$$", final)
        end = inline.dollar(text, at, more=not final and len(text) - at < LIMIT)
        if end is None:
            return self._hold(text, at)
        if not end:
            return self._literal(text, at, final)
        self._speak(text[at + 1 : end - 1])
        return end

    def _formula(self, text: str, at: int, opening: str, final: bool, close: str = "") -> int:
        close = close or inline.FORMULAS[opening]
        start = at + len(opening)
        limit = at + _FORMULA
        end = text.find(close, start, limit)
        gap = PARAGRAPH.search(text, start, end if end >= 0 else limit)
        if gap or (end < 0 and final):
            # Never closed: what stands there is text.
            return start
        if opening == "$$" and inline.is_prose(text[start : end if end >= 0 else limit]):
            return start
        if end < 0:
            if len(text) < limit:
                # Words tell as soon as they come that it is none.
                return self._hold(text, at, None if opening == "$$" else _FORMULA_UNTIL)
            self._voice.say(formula_name(self._voice.words()))
            self._skip = close
            self._mode = type(self)._pass_over
            # What is waited for, or a paragraph's end, may be cut by the limit.
            return max(start, limit - 50)
        if close.startswith("\\end"):
            self._voice.say(formula_name(self._voice.words()))
        else:
            self._speak(text[start:end])
        return end + len(close)

    def _speak(self, formula: str) -> None:
        self._voice.say(speak_formula(formula, self._voice.words()))

    def _backslash(self, text: str, at: int, final: bool) -> int:
        voice = self._voice
        after = text[at + 1 : at + 2]
        if not after:
            return at + 1 if final else self._hold(text, at)
        if after == "(":
            kind, end = kaomoji.look(text, at, voice.before, final=final)
            if kind == "wait":
                return self._hold(text, at)
            if kind == "drop":
                voice.say(text[at:end])
                return end
        if after in "([":
            return self._formula(text, at, text[at : at + 2], final)
        if after in "\r\n":
            return at + 1
        if after.isalpha() and after.isascii():
            return self._command(text, at, final)
        said = bool(voice.tail)
        if after == "*":
            beyond = text[at + 2 : at + 3]
            if not beyond and not final:
                return self._hold(text, at)
            blank = not voice.before.strip()
            if (
                said
                and (blank is not bool(beyond.strip()))
                and (blank or (voice.before.isalnum() and beyond.isalnum()))
            ):
                voice.say("*")
        elif after in "#>+-":
            voice.say(after if said else "")
        elif after == "|":
            voice.say("" if voice.row else "|")
        elif after == "\\" or (after.isascii() and not after.isalnum() and not after.isspace()):
            voice.say("" if after in ")]`" else after)
        else:
            return self._literal(text, at, final)
        return at + 2

    def _command(self, text: str, at: int, final: bool) -> int:
        before = self._voice.before
        if before.isalnum() or before in {":", "\\"}:
            return self._literal(text, at, final)
        more = not final and len(text) - at < _COMMAND
        if more and inline.COMMAND_BEGUN.fullmatch(text, at):
            return self._hold(text, at)
        found = inline.COMMAND.match(text, at, at + _COMMAND)
        if found is None:
            return self._literal(text, at, final)
        if found[1] == "begin" and found[0].endswith("}"):
            return self._formula(text, at, found[0], final, found[0].replace("begin", "end", 1))
        if not is_command(found[1]):
            return self._literal(text, at, final)
        self._speak(found[0])
        return found.end()
