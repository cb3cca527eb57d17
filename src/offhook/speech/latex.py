"""Reads a formula of LaTeX as words, or tells that it is too long or too odd to be read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from offhook.speech.markdown_blocks import CJK

if TYPE_CHECKING:
    from collections.abc import Iterable

# A longer formula is named and not read, in characters.
LIMIT = 200
_DEPTH = 24

_TOKEN = re.compile(r"\\[A-Za-z]+\*?|\\.|[0-9]+(?:[.,][0-9]+)*|[A-Za-z]+|\s+|[" + CJK + "]+|.", re.DOTALL)
_BLANKS = re.compile(r"\s+")
_NARROW = re.compile(f"(?<=[{CJK}]) | (?=[{CJK}])")
_TIGHTEN = re.compile(r" (?=[,.;:!?)\]，。；：%'])|(?<=[(\[$]) ")


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


# Words of a command that stands alone: English, Chinese.
_WORDS = {
    r"\times": ("times", "乘"),
    r"\cdot": ("times", "乘"),
    r"\div": ("divided by", "除以"),
    r"\pm": ("plus or minus", "正负"),
    r"\mp": ("minus or plus", "负正"),
    r"\ast": ("times", "乘"),
    r"\le": ("is at most", "小于等于"),
    r"\leq": ("is at most", "小于等于"),
    r"\leqslant": ("is at most", "小于等于"),
    r"\ge": ("is at least", "大于等于"),
    r"\geq": ("is at least", "大于等于"),
    r"\geqslant": ("is at least", "大于等于"),
    r"\lt": ("<", "小于"),
    r"\gt": (">", "大于"),
    r"\ll": ("is much less than", "远小于"),
    r"\gg": ("is much greater than", "远大于"),
    r"\ne": ("is not equal to", "不等于"),
    r"\neq": ("is not equal to", "不等于"),
    r"\approx": ("is approximately", "约等于"),
    r"\sim": ("is like", "相似于"),
    r"\equiv": ("is congruent to", "同余于"),
    r"\cong": ("is congruent to", "全等于"),
    r"\propto": ("is proportional to", "正比于"),
    r"\in": ("in", "属于"),
    r"\notin": ("not in", "不属于"),
    r"\subset": ("is a subset of", "包含于"),
    r"\subseteq": ("is a subset of", "包含于"),
    r"\cup": ("union", "并"),
    r"\cap": ("intersection", "交"),
    r"\setminus": ("without", "减去"),
    r"\emptyset": ("the empty set", "空集"),
    r"\varnothing": ("the empty set", "空集"),
    r"\forall": ("for all", "对任意"),
    r"\exists": ("there is", "存在"),
    r"\neg": ("not", "非"),
    r"\land": ("and", "且"),
    r"\wedge": ("and", "且"),
    r"\lor": ("or", "或"),
    r"\vee": ("or", "或"),
    r"\to": ("to", "趋于"),
    r"\rightarrow": ("to", "到"),
    r"\longrightarrow": ("to", "到"),
    r"\mapsto": ("maps to", "映射到"),
    r"\leftarrow": ("from", "来自"),
    r"\Rightarrow": ("implies", "推出"),
    r"\implies": ("implies", "推出"),
    r"\Leftrightarrow": ("if and only if", "等价于"),
    r"\Longrightarrow": ("implies", "推出"),
    r"\Longleftrightarrow": ("if and only if", "等价于"),
    r"\leftrightarrow": ("corresponds to", "对应于"),
    r"\bigcup": ("the union of", "并集"),
    r"\bigcap": ("the intersection of", "交集"),
    r"\not": ("not", "不"),
    r"\colon": (":", "："),
    r"\star": ("star", "星"),
    r"\iff": ("if and only if", "等价于"),
    r"\therefore": ("therefore", "所以"),
    r"\because": ("because", "因为"),
    r"\infty": ("infinity", "无穷大"),
    r"\partial": ("partial", "偏"),
    r"\nabla": ("nabla", "梯度"),
    r"\sum": ("the sum of", "求和"),
    r"\prod": ("the product of", "求积"),
    r"\int": ("the integral of", "积分"),
    r"\lim": ("the limit of", "极限"),
    r"\angle": ("angle", "角"),
    r"\triangle": ("triangle", "三角形"),
    r"\perp": ("is perpendicular to", "垂直于"),
    r"\parallel": ("is parallel to", "平行于"),
    r"\circ": ("degrees", "度"),
    r"\degree": ("degrees", "度"),
    r"\mid": (",", "，"),
    r"\nmid": ("does not divide", "不整除"),
    r"\prime": ("prime", "撇"),
    r"\bmod": ("mod", "模"),
    r"\mod": ("mod", "模"),
    r"\ldots": ("...", "…"),
    r"\dots": ("...", "…"),
    r"\cdots": ("...", "…"),
    r"\vdots": ("...", "…"),
    r"\checkmark": ("", ""),
    r"\square": ("", ""),
    r"\blacksquare": ("", ""),
    r"\lfloor": ("the floor of", "下取整"),
    r"\lceil": ("the ceiling of", "上取整"),
    r"\rfloor": ("", ""),
    r"\rceil": ("", ""),
    r"\ell": ("l", "l"),
    r"\hbar": ("h bar", "h拔"),
    r"\vert": ("", ""),
    r"\lvert": ("", ""),
    r"\rvert": ("", ""),
    r"\%": ("%", "%"),
    r"\$": ("$", "$"),
    r"\#": ("number", "号"),
    r"\&": ("and", "和"),
    r"\_": (" ", " "),
}
_GREEK = {
    "alpha": "阿尔法",
    "beta": "贝塔",
    "gamma": "伽马",
    "delta": "德尔塔",
    "epsilon": "艾普西隆",
    "varepsilon": "艾普西隆",
    "zeta": "泽塔",
    "eta": "伊塔",
    "theta": "西塔",
    "vartheta": "西塔",
    "iota": "约塔",
    "kappa": "卡帕",
    "lambda": "兰姆达",
    "mu": "缪",
    "nu": "纽",
    "xi": "克西",
    "pi": "派",
    "rho": "柔",
    "sigma": "西格玛",
    "tau": "陶",
    "upsilon": "宇普西隆",
    "phi": "斐",
    "varphi": "斐",
    "chi": "凯",
    "psi": "普西",
    "omega": "欧米伽",
}
_FUNCTIONS = _names(
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp max min sup inf gcd lcm det dim ker deg "
    "arg Pr"
)
# Commands of which only what they are given is said, or nothing where they are given nothing.
_SHAPE = _names(
    "text textbf textit textrm texttt textsf mathrm mathbf mathit mathbb mathcal mathfrak mathsf mathscr operatorname "
    "boxed fbox mbox left right big Big bigl bigr Bigl Bigr bigg Bigg biggl biggr Biggl Biggr displaystyle textstyle "
    "limits nolimits quad qquad boldsymbol bm emph underline underbrace overbrace overline bar hat vec tilde dot ddot "
    "Vert lVert rVert lbrace rbrace widehat widetilde overrightarrow middle rm bf it cancel color phantom mathop "
    "langle rangle hspace vspace"
)
_SILENT = frozenset({"tag", "label", "hspace", "vspace", "phantom", "color", "tag*", "notag", "nonumber"})
_FRACTIONS = frozenset({"frac", "dfrac", "tfrac", "cfrac"})
_POWERS = {"2": ("squared", "的平方", "の2乗"), "3": ("cubed", "的立方", "の3乗")}
_LIMITS = {"sum": "sum", "prod": "product", "int": "integral", "lim": "limit"}
_UNSAID = frozenset("&}\\~$|`#")
_NAMED = {"zh": "（公式）", "ja": "（数式）"}


class _Odd(Exception):
    """A formula that is not read."""


def speak_formula(source: str, language: str) -> str:
    """Give the words of a formula without its dollar signs, or its name where it is too long or too odd."""
    if len(source) <= LIMIT:
        try:
            words = _Reader(_TOKEN.findall(source), language).all()
        except _Odd:
            pass
        else:
            return words
    return formula_name(language)


def formula_name(language: str) -> str:
    """Give what is said instead of a formula that is not read."""
    return _NAMED.get(language, "(formula)")


def is_command(name: str) -> bool:
    """Tell whether a word behind a backslash is a command that can be read, so that it is one outside formulas too."""
    return (
        name in _FRACTIONS
        or name in _GREEK
        or name in {"sqrt", "binom", "boxed", "text", "textbf", "textit", "mathrm", "mathbf", "quad", "qquad"}
        or "\\" + name in _WORDS
    )


class _Reader:
    """Walks through the tokens of a formula once."""

    __slots__ = ("_at", "_column", "_depth", "_language", "_tokens")

    def __init__(self, tokens: list[str], language: str) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._language = language
        self._column = 1 if language in {"zh", "ja"} else 0

    def all(self) -> str:
        words = _BLANKS.sub(" ", " ".join(self._until(""))).strip()
        return _TIGHTEN.sub("", _NARROW.sub("", words))

    def _until(self, close: str) -> Iterable[str]:
        words: list[str] = []
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            if token == close:
                return words
            words.append(self._one(token))
        return words

    def _one(self, token: str) -> str:
        if token == "{":
            return self._group("}")
        if token[0] == "\\" and len(token) > 1:
            return self._command(token)
        if token == "^":
            return self._power()
        if token == "_":
            below = self._argument()
            return below if self._column else f"sub {below}"
        if token == "'":
            return "撇" if self._language == "zh" else "prime"
        if token == "-":
            return self._minus()
        if token == "*":
            return self._pick(r"\times")
        # Signs of layout, and those that would be taken for marks, are not said.
        return "" if token in _UNSAID else token

    def _pick(self, command: str) -> str:
        return _WORDS[command][1 if self._language == "zh" else 0]

    def _minus(self) -> str:
        """Give the word for a minus sign, in Chinese by whether anything stands before it."""
        if self._language != "zh":
            return "minus"
        before = "".join(self._tokens[max(0, self._at - 3) : self._at - 1]).rstrip()[-1:]
        return "减" if before.isalnum() or before in {")", "}", "]"} else "负"

    def _group(self, close: str) -> str:
        self._deeper()
        words = " ".join(self._until(close))
        self._depth -= 1
        return words

    def _argument(self) -> str:
        """Give the words of what comes next: a group, a command or one character."""
        while self._at < len(self._tokens) and self._tokens[self._at].isspace():
            self._at += 1
        if self._at == len(self._tokens):
            return ""
        self._deeper()
        token = self._tokens[self._at]
        self._at += 1
        if len(token) > 1 and token[0] != "\\":
            # x^23 is a 2 above and a 3 behind.
            self._at -= 1
            self._tokens[self._at] = token[1:]
            token = token[0]
        words = self._one(token).strip()
        self._depth -= 1
        return words

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEPTH:
            raise _Odd

    def _option(self) -> str:
        if self._at < len(self._tokens) and self._tokens[self._at] == "[":
            self._at += 1
            return self._group("]").strip()
        return ""

    def _power(self) -> str:
        above = self._argument()
        if above in {"degrees", "度", "prime", "撇"}:
            return above
        if above in _POWERS:
            english, chinese, japanese = _POWERS[above]
            return {"zh": chinese, "ja": japanese}.get(self._language, english)
        return {"zh": f"的{above}次方", "ja": f"の{above}乗"}.get(self._language, f"to the power of {above}")

    def _command(self, token: str) -> str:
        name = token[1:]
        if name in _FRACTIONS:
            above, below = self._argument(), self._argument()
            return {"zh": f"{below}分之{above}", "ja": f"{below}分の{above}"}.get(
                self._language, f"{above} over {below}"
            )
        if name == "sqrt":
            return self._root(self._option(), self._argument())
        if name in {"binom", "dbinom", "tbinom"}:
            above, below = self._argument(), self._argument()
            return f"{above}选{below}" if self._language == "zh" else f"{above} choose {below}"
        if name in {"pmod", "pod"}:
            return f"模{self._argument()}" if self._language == "zh" else f"mod {self._argument()}"
        if name in _SILENT:
            self._argument()
            return ""
        if name in _LIMITS:
            return self._limits(name)
        if token in _WORDS:
            return self._pick(token)
        if name.lower() in _GREEK:
            return _GREEK[name.lower()] if self._language == "zh" else name.lower().removeprefix("var")
        if name in _FUNCTIONS:
            return name
        if name in _SHAPE or not name[0].isalpha():
            return ", " if name == "\\" else " "
        raise _Odd

    def _limits(self, name: str) -> str:
        """Give the words of a sum or its like with what stands below and above its sign."""
        below = above = ""
        while self._at < len(self._tokens) and (mark := self._tokens[self._at]) in {"_", "^"}:
            self._at += 1
            if mark == "_":
                below = self._argument()
            else:
                above = self._argument()
        if self._language == "zh":
            chinese = _WORDS["\\" + name][1]
            if name == "lim":
                return f"当{below}时的{chinese}" if below else chinese
            return (f"从{below}到{above}" if above else f"对{below}" if below else "") + chinese
        noun = _LIMITS[name]
        if name == "lim":
            return f"the limit as {below} of" if below else "the limit of"
        return (
            f"the {noun} from {below} to {above} of"
            if above
            else f"the {noun} over {below} of"
            if below
            else f"the {noun} of"
        )

    def _root(self, degree: str, inside: str) -> str:
        if self._language in {"zh", "ja"}:
            root = "ルート" if self._language == "ja" else "根号"
            return f"{degree}次{root}{inside}" if degree else f"{root}{inside}"
        return f"the root of degree {degree} of {inside}" if degree else f"the square root of {inside}"
