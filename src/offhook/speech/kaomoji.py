"""Knows faces that are written with ordinary characters: ``:-)``, ``:smile:``, ``(＾▽＾)``, ``¯\\_(ツ)_/¯``."""

from __future__ import annotations

import re

from offhook.speech.mend import UNSPACED

# What such a face begins with. A full-width arm counts only in front of a bracket.
TRIGGERS = r":;=<>\\\^＾(（¯ʕಠヽヾ٩"
# These two are letters as well, so they count only right in front of a bracket.
ARMS = "mO"

_ANY_BEFORE = frozenset("(（¯ʕヽヾ٩")

_PICTURES = (
    "\u2500-\u25b2\u25b4-\u25ca\u25cc-\u266c\u2670-\u2775\u2795-\u27bf\u2b00-\u2bff"
    "\ufe00-\ufe0f\u200d\U0001f000-\U0001fbff"
)
_EYES = r"・･·´｀`°º^＾;；=@*~\-<>＜＞≧≦¬￣•˘ˇ◕ಠಥ∩╥ʘ⊙\u0300\u0301\u0361"
_MOUTHS = "_＿.wovωдДзε▽∀□▿‿﹏ᴗ皿益口ー－∇ᴥ◡︿︶ヮツʖ\u035c"
_OTHERS = r"#\s\"'′‵|/\\!！。｡♥♡ノﾉヽヾつっづシヘﾟ゜ゝ๑งو∩～╯╰×○ﾛσ灬"
# A letter is part of a face only by itself.
_PART = rf"(?:[^\S\n]|(?![A-Za-z0-9\s])[{_EYES}{_MOUTHS}{_OTHERS}{_PICTURES}]|[ToOxXQnuUwv](?![A-Za-z0-9]))"
# What is thrown behind it: ノ*:・゚✧
_THROWN = "[*:・゚･ﾟ.]"
_FACE_SHAPE = (
    rf"[ヽヾ٩\\]?[(（](?P<in>{_PART}{{1,24}})[)）](?:[ノﾉ/\\۶و✧づつシゞง♪~～*]|[omO](?![A-Za-z0-9])){{0,3}}"
    rf"(?:{_THROWN}{{0,6}}[✧☆★])?"
)
_FACE = re.compile(rf"{_FACE_SHAPE}|[(（][\^＾][_.]?[\^＾][;；](?!\w)|\\[oO0]/(?![\w/\\])")
_FACE_BEGUN = re.compile(
    rf"[ヽヾ٩\\]?(?:[(（]{_PART}{{0,24}})?|\\[oO0]|{_FACE_SHAPE.replace('?P<in>', '?:')}{_THROWN}{{1,6}}"
)
# What makes a bracket a face: a picture, a sign used for nothing else, or two eyes and a mouth. Of letters alone only
# those that are neither a name nor an expression: (x_x), (n.x).
_STRONG = re.compile(
    rf"[{_PICTURES}‿◕╥﹏ᴗʘ◡￣๑ᴥ⊙＾ツ]|(?!\*\.\*)[{_EYES}] ?[{_MOUTHS}]{{1,3}} ?[{_EYES}]|\^\^|≧.?≦"
    r"|(?<![A-Za-z])(?:T[_﹏wo]+T|Q[_﹏wo]Q|[OoUu]w[OoUu]|[Oo]_[Oo])(?![A-Za-z])|\A_ ?_\Z"
)

_SHRUG = re.compile(r"¯[\\_(（ツ)）/\- ]{1,12}¯")
_SHRUG_BEGUN = re.compile(r"¯[\\_(（ツ)）/\- ]{0,12}")
_BEAR = re.compile(rf"ʕ(?:(?!ʔ){_PART}|ᴥ){{1,10}}ʔ|ಠ[_‿.益]{{1,3}}ಠ")
_BEAR_BEGUN = re.compile(rf"ʕ(?:(?!ʔ){_PART}|ᴥ){{0,10}}|ಠ[_‿.益]{{0,3}}")

# The names of emoji that are a word by themselves; others have two words, or are none: std:vector:x.
_SHORTCODE = (
    "[a-z][a-z0-9+-]{0,20}_[a-z0-9_+-]{1,20}|smil(?:e|ey|ing)|grin(?:ning)?|laugh(?:ing)?|joy|rofl|blush|wink|heart|hearts"
    "|broken-heart|cry|sob|angry|rage|scream|sweat|sunglasses|thinking|relaxed|relieved|kiss(?:ing)?|hugs?|hugging|wave"
    "|clap|pray|muscle|thumbsup|thumbsdown|tada|rocket|fire|star2?|stars|sparkles|boom|zap|sunny|cloud|rainbow|snowflake"
    "|umbrella|warning|information|question|exclamation|bulb|memo|pencil2?|book|books|calendar|phone|telephone|email"
    "|envelope|bell|gift|balloon|cake|pizza|coffee|beer|beers|dog|cat|eyes|ok|okay|x|check|bow|shrug|facepalm|party"
    "|partying|celebrate|confetti|trophy|medal|crown|gem|moneybag|dollar|house|car|airplane|globe|earth|key|lock|hourglass"
    "|clock|watch|pin|pushpin|link|mag|wrench|hammer|gear|robot|ghost|skull|poop|sun|moon|rose|tulip|sunflower|tree|leaves"
)
# Of a doubtful one, what stands behind it decides: a word or a number makes it text.
_SMILEY = re.compile(
    r"(?:[:;]['’]?-?|=)\){1,5}(?![A-Za-z0-9])"
    r"|:['’]?-?\({1,5}(?!\w)"
    r"|[:;]-[DPpoO](?!\w)"
    # As letters behind a colon only at a line's end; look() takes them behind a sentence, too.
    r"|(?:[:;][DPp]|:[oO]|=D)(?=[ \t]{0,4}(?:\n|\Z))"
    r"|:-?/(?![\w/])"
    r"|[\^＾][_.\-owωｏ▽‿－＿]{0,3}[\^＾][;~*]?(?!\w)"
    r"|[>＞][_.﹏]{1,3}[<＜](?!\w)"
    r"|=[_.]=(?![\w=])|;_;(?!\w)"
    r"|</?3(?=!{0,3}[ \t]{0,4}(?:\n|\Z))"
    rf"|:(?:{_SHORTCODE}|[+-]1|100):(?![A-Za-z0-9])"
)
# A smile behind the end of a sentence.
_SMILE = re.compile(r"(?:[:;][DPp]|:[oO]|=D)(?!\w)")
_SENTENCE = frozenset(".!?~,。！？～，…)）\n")
_SMILEY_BEGUN = re.compile(
    r"[:;]['’]?-?|=[_.]?|[\^＾][_.\-owωｏ▽‿－＿]{0,3}|[>＞][_.﹏]{0,3}|;_"
    r"|(?:[:;][DPpoO]|=D)[ \t]{0,4}|</?(?:3!{0,3}[ \t]{0,4})?|:(?:[a-z][a-z0-9_+-]{0,30}|[+-]1?|10?0?)"
)

_KINDS = {
    **dict.fromkeys("(（ヽヾ٩\\", (_FACE, _FACE_BEGUN)),
    "¯": (_SHRUG, _SHRUG_BEGUN),
    **dict.fromkeys("ʕಠ", (_BEAR, _BEAR_BEGUN)),
}
_DEFAULT = (_SMILEY, _SMILEY_BEGUN)


def look(text: str, place: int, before: str, *, final: bool, last: str = "") -> tuple[str, int]:
    """Tell whether a face begins at ``place``, behind the character ``before``, and where what was looked at ends.

    ``last`` is the last character that is no blank.

    Gives ``drop`` for a face, ``text`` for none, and ``wait`` while the text ends before it can be told.
    """
    character = text[place]
    sentence = not last or last in _SENTENCE
    if character not in _ANY_BEFORE and not _may_begin(before):
        return "text", place + 1
    whole, begun = _KINDS.get(character, _DEFAULT)
    # Nothing that is looked at is longer than this: what a hostile text pays for each place is bounded.
    stop = place + 40
    found = whole.match(text, place, stop)
    if found and whole is _FACE and found["in"] is not None and not _is_face(found["in"]):
        return "text", place + 1
    if found is None and sentence and whole is _SMILEY:
        found = _SMILE.match(text, place, stop)
    # What reaches to the end may go on, or be made text by what comes.
    if not final and (begun.fullmatch(text, place, stop) or (found and found.end() == len(text))):
        return "wait", place
    return ("drop", found.end()) if found else ("text", place + 1)


def _may_begin(before: str) -> bool:
    """Tell whether a face may stand behind a character: not within a word, a time, a path or an expression."""
    return not before or before >= UNSPACED or not (before.isalnum() or before in ":/\\=<>&)]_[{(`'\"|*")


def _is_face(inside: str) -> bool:
    inside = inside.strip()
    found = _STRONG.search(inside)
    return found is not None and (len(inside) > 1 or inside == "ツ" or re.match(f"[{_PICTURES}]", inside) is not None)
