"""Each form of Markdown is spoken as it is meant, however it is cut, and what only looks like a mark is not touched."""

from __future__ import annotations

import pytest

from offhook.speech.markdown import MarkdownShaper


def spoken(*pieces: str, language: str = "en") -> str:
    shaper = MarkdownShaper(language=language)
    return "".join([*(shaper.feed(piece) for piece in pieces), shaper.flush()])


SPOKEN: dict[str, tuple[str, str]] = {
    "nothing": ("", ""),
    "emphasis": ("*a* **b** ***c*** _d_ __e__ ~~f~~ ==g==", "a b c d e f g"),
    "emphasis inside words": ("un**believ**able **a**, (**b**) **c**: d", "unbelievable a, (b) c: d"),
    "emphasis in emphasis": ("**a *b* c** *a **b** c*", "a b c a b c"),
    "quotes in Chinese emphasis": ("他说**“引号”**后面，**“好。”**他", "他说“引号”后面，“好。”他"),
    "Chinese emphasis": (
        "**中文**中文**中文**，*斜*体，__重点__后面，这是==重点==内容",
        "中文中文中文，斜体，重点后面，这是重点内容",
    ),
    "a colon in Chinese emphasis": ("**要点：**内容 **（注）**后", "要点：内容 （注）后"),
    "emphasis over two lines": ("**a\nb** c", "a\nb c"),
    "emphasis that is not closed": ("Well, **a b\nc *d\n\ne", "Well, a b\nc d\ne"),
    "emphasis that is not opened": ("a** b", "a b"),
    "a dunder name": ("call __init__ and self.__init__()", "call init and self.init()"),
    "headings": ("# A\n## B.\n### C ###\n##标题\n####### D\n#\ne", "A.\nB.\nC.\n标题。\nD.\ne"),
    "a heading with emphasis": ("### **1. 处理食材**\n好", "1，处理食材。\n好"),
    "a topic": ("#话题#\n# Learn C#\n", "话题。\nLearn C#.\n"),
    "headings with a line below": ("A\n===\nB\n---\nc", "A\nB\nc"),
    "bullets": ("- a\n* b!\n+ c\n• d\n-中文\n-**粗**：e", "a.\nb!\nc.\nd.\n中文。\n粗：e。"),
    "nested bullets": ("- a\n    - b\n\t* c\n\n  text", "a.\nb.\nc.\n  text"),
    "numbers": (
        "1. a\n2) b\n10. c\n1、甲\n（2）乙\n3.丙\n4）丁",
        "1, a.\n2, b.\n10, c.\n1，甲。\n2，乙。\n3，丙。\n4，丁。",
    ),
    "numbers and emphasis": ("1. **A**: b\n**2. C** d\n3.**丁**戊", "1, A: b.\n2, C d.\n3，丁戊。"),
    "task boxes": ("- [ ] a\n- [x] b\n1. [X] c", "a.\nb.\n1, c."),
    "an item in two scripts": ("- 使用 Python\n- 安装 A 和 B", "使用 Python。\n安装 A 和 B。"),
    "an empty item": ("- a\n-\n- b", "a.\nb."),
    "quotes": ("> a\n> > b\n>c\n> - d\n\ne", "a\nb\nc\nd.\ne"),
    "rules": ("a\n\n---\n***\n* * *\n___\n- - -\n\\---\nb", "a\nb"),
    "blank lines": ("\n\na\n\n\n \t\nb  \r\n\r\nc\n", "a\nb  \nc\n"),
    "a hard break": ("a\\\nb", "a\nb"),
    "escaped characters": (r"snake\_case \$5 2 \* 3 \*x\* a\#1 50\%", "snake_case $5 2 * 3 x a#1 50%"),
    "a table": (
        "| A | B |\n|:--|--:|\n| 1 | **2** |\n| 甲 | 乙 |\n| x<br>y | |\n\nc",
        "A, B.\n1, 2.\n甲，乙。\nx, y.\nc",
    ),
    "a table without outer bars": ("Name | Age\n--- | ---\nBob | 5\n\nc | d", "Name , Age.\nBob, 5.\nc | d"),
    "rows without a table": ("| a | b |\n| 1. c | d |\n+---+---+\ne", "a, b.\n1, c, d.\ne"),
    "a table with numbers": ("|N|T|\n|-|-|\n| 1. a | b. |\n", "N, T.\n1, a, b.\n"),
    "a table with an escaped bar": ("|a|b|\n|-|-|\n| c \\| d | e |", "a, b.\nc  d, e."),
    "a link": ('see [the **docs**](https://a.example/b_c_(d) "T"), [x](<y z>)', "see the docs, x"),
    "links next to each other": ("[a](b)[c](d)", "ac"),
    "an image": ("![A *cat*](a.png) [![b](c)](d) 好![图](e)", "A cat b 好!图"),
    "a reference": (
        "[Docs][1] and [More][] or m[i][j] [sic] [a][b c]\n\n[1]: https://a.example",
        "Docs and More or m[i][j] [sic] [a][b c]\n",
    ),
    "words in brackets": (
        "See the [old] *docs* [big page] [one](a) [more][1] [None (x 好[图片](e)",
        "See the [old] docs big page one more None (x 好图片",
    ),
    "a bracket without an end": ("Please wait [one *moment* please\n[a", "Please wait one moment please\n[a"),
    "code without an end": ("`make all *the* things\n``and `x` here`` ok `a ", "make all the things\nand x here ok a "),
    "marks in code": ("`2**3` `f(**x)` `# a` `a # b` `[a](b)` `<p>` `a **` x`", "2**3 f(x) a a # b a p a  x"),
    "code beside words": ("`and `x` here", "and x here"),
    "names of keys": (
        "Press <Enter> or <Menu>, Dear <Customer Name>, 按<Enter>键 <your_name>",
        "Press Enter or Menu, Dear Customer Name, 按Enter键 your name",
    ),
    "types": ("vector<int> x, List<String>b, 5 x <y and so on> z", "vector int x, List String b, 5 x y and so on z"),
    "tags of models": (
        "<tool_call>x</tool_call> <|im_end|><city>Paris</city> [INST] <<SYS>>a<</SYS>> b<foo/> <imsagent_hangup/>",
        "x Paris  a b ",
    ),
    "a pair with a capital": ("<Reply>Yes.</Reply> <Enter>", "Yes. Enter"),
    "tags in disguise": ("&lt;think&gt;a&lt;/think&gt; <**think**>b</**think**> 1 &lt; 2 &lt;b", "a b 1 < 2 <b"),
    "tags that a sentence is about": ("Use <div> and <p> tags, a <br> b <p>c", "Use  and  tags, a \n b \nc"),
    "cells without a row": ("<td>A</td><td>B</td>", "A, B"),
    "a summary": ("<summary>More</summary>hidden", "More.\nhidden"),
    "headings with numbers": ("###1.标题\n##2.价格\n#3 is best", "1，标题。\n2，价格。\n#3 is best"),
    "faces": (
        ">_< a (>_<) (-_-) (*_*) (¬_¬) m(_ _)m \\(^o^)/ (#^.^#) （*^_^*） \\o/ (*a*)",
        ">_< a (>_<) (-_-) (*_*) (¬_¬) m(_ _)m \\(^o^)/ (#^.^#) （*^_^*） \\o/ (a)",
    ),
    "stars of code": ("COUNT(*), 5 *3, f(*args) bold (**), (*)", "COUNT(*), 5 *3, f(*args) bold (), ()"),
    "underscores in Chinese": ("*这里*和_那里_，这是_重点_内容 用户_id", "这里和那里，这是重点内容 用户_id"),
    "a footnote": ("So[^1] it is.\n\n[^1]: Said once", "So it is.\nSaid once."),
    "addresses": (
        "<https://a.example/_b_> https://a.example/b~~_c_/**d** <me@a.example>",
        "https://a.example/_b_ https://a.example/b~~_c_/d me@a.example",
    ),
    "code": ("a:\n\n```python\nx = 1\n```\n\nb", "a:\n(Python code example)\nb"),
    "code of no language": ("~~~\n```\n~~~\nb", "(code example)\nb"),
    "Chinese code": ("代码：\n```js\nx\n```\n好", "代码：\n（JavaScript代码示例）\n好"),
    "Japanese code": ("これです：\n```\nx\n```", "これです：\n（コード例）\n"),
    "code that is not closed": ("```sh\nrm *", "(shell code example)\n"),
    "code that is only closed": ("a\n```", "a\n"),
    "code in a list": ("1. Run:\n   ```bash\n   a\n   ```\n2. b", "1, Run:\n(Bash code example)\n2, b."),
    "code in a quote": ("> ```\n> a\nb", "(code example)\nb"),
    "code behind words": ("Run:```bash\na\n```\nb", "Run:\n(Bash code example)\nb"),
    "longer fences": ("````md\n```\na\n```\n````\nb", "(Markdown code example)\nb"),
    "inline code": ("Run `npm install`, ``a`b``, `<p>` or `a_b*c`.", "Run npm install, ab, p or a_b*c."),
    "inline code that is not closed": ("a ` b **c**\nd", "a  b c\nd"),
    "HTML": ("<p>a <b>b</b></p><ul><li>c</li><li>d!</li></ul>e<br/>f <!-- g\n -->h", "a b\nc.\nd!\ne\nf h"),
    "scripts": ("a\n<script>\nif (a<b) {}\n</script>\n<STYLE>x</Style>b", "a\nb"),
    "a style in capitals": ("<style>\u0130\u0130\u0130</STYLE>b", "b"),
    "a script without an end": ("<script> is a tag.\n\n<!-- a\n\nb", "b"),
    "a word about a script": ("Use the <script> tag.", "Use the  tag."),
    "a tag put together": (
        "<<b>i_a/> <<<b>i_a/> <<*i_a/> <*i_a/> <&#105;_a <$i$_a << b <<- <$5 <_<",
        "i_a/> i_a/> i_a/> i_a/> i_a i_a << b <<- <$5 <",
    ),
    "a place to fill in": ("Dear <<Your Name>>, 1<<n", "Dear Your Name, 1<<n"),
    "a tag of an answer": ("< answer >42</ answer >", "42"),
    "Japanese numbers": (
        "これです：\n1. りんご\n- 東京\n2. 東京、大阪",
        "これです：\n1、りんご。\n東京。\n2、東京、大阪。",
    ),
    "entities": ("A&amp;B &lt;3 &#39;a&#x27; x&nbsp;y &bogus; R&D", "A&B <3 'a' x y &bogus; R&D"),
    "tags of other platforms": (
        "Bye.<foo_bar/> <foo_bar x='1'/><imsagent_hangup/><NO  interrupting>好<No Interrupting>a<no interrupting/>b"
        '<imsagent_transfer_call caller="1", callee="2", msg="Wait."/> <imsagent_x> <No Way> <String, Integer>',
        "Bye. 好ab  No Way <String, Integer>",
    ),
    "names of files": (
        "__init__.py, a/__main__.py and __a__.b __new_name__.py 看__init__.py文 __init__. __Bold__.so __init__",
        "__init__.py, a/__main__.py and __a__.b __new_name__.py 看__init__.py文 init. Bold.so init",
    ),
    "alerts": (
        "> [!NOTE]\n> Read this.\n\n> [!warning]- Hot stuff\n> [!TIP] 好\n[!a] b",
        "Note.\nRead this.\nWarning, Hot stuff.\nTip，好。\n[!a] b",
    ),
    "definitions": ("Term\n: what it is\n:   so\n: ) :) ::: a", "Term\nwhat it is.\nso.\n: ) :) ::: a"),
    "lower and higher": (
        "H~2~O, SO~4~ x^2^ the 1^st^, a~i~ x^n^+10^6^ 5~10~15 A~5~10 ~5~ ^o^ ok^o^ ^2^ a~bc~ 周一~五~六",
        "H2O, SO4 x2 the 1st, ai xn+106 5~10~15 A~5~10 ~5~ ^o^ ok^o^ ^2^ a~bc~ 周一~五~六",
    ),
    "formulas": (
        r"So \(\frac{a}{b}\), $x^2$ and $$y_1 \le 3$$ \[ \sqrt{2} \]",
        "So a over b, x squared and y sub 1 is at most 3 the square root of 2",
    ),
    "Chinese formulas": (r"值为 \(\frac{a}{b}\)，$x^2 \times 3$", "值为 b分之a，x的平方乘3"),
    "a formula outside": (r"The answer: \boxed{42}, \begin{align}x&=y\end{align}.", "The answer: 42, (formula)."),
    "a formula over lines": ("So\n\\[\nx = 1\n\\]\nb", "So\nx = 1\nb"),
    "a long formula": ("a \\[" + "x+" * 300 + "1\\] b $$" + "x " * 300 + "\n \nc", "a (formula) b (formula)\nc"),
    "a formula that is not closed": ("a \\(b c\n\nd $$e", "a b c\nd e"),
}


@pytest.mark.parametrize("name", SPOKEN)
def test_a_form_cut_at_every_place(name: str) -> None:
    """Each form gives what is meant, whole, in two pieces cut anywhere, and one character at a time."""
    text, expected = SPOKEN[name]
    assert spoken(text) == expected
    assert spoken(*text) == expected
    for place in range(len(text) + 1):
        assert spoken(text[:place], "", text[place:]) == expected, place


SAME = [
    "Well, hello. How are you?",
    "今天天气不错，我们走吧！",
    "3*4*5, 2 * 3, a * b = c, 2**10, x**2 + y**2, 2 ** 3",
    "snake_case, file_name.py, a_b_c_d, user_name@a.example",
    "*.txt and src/*.py, C*, A* search",
    "$5 and $10, $5-$10, $1,000.50 each; $3K",
    "5~10, ~100, about ~5, x^2, x^2 + y^2, a^2^3, (^_^) ^^ hi^",
    "C#, F#, #1, #hashtag, a#b",
    "a<b and c>d, a<b, a < b, x > y, 1 <2, <3, i<=5, 5>3",
    "A&B, R&D, AT&T, a & b",
    "[sic], (1), 1.5, [1, 2], [[1,2],[3,4]], arr[i], m[i][j], [x] [A]",
    "-5 degrees",
    "—wait",
    "-- no",
    "+86 138",
    "2024. A year",
    "10:30 is the time",
    "1.5 litres",
    "a == b, a==b, x != y, a => b, x === y",
    "a | b, a || b, |x| = 3, P(A|B)",
    "|x| = |y|",
    "either/or, and/or, 1/2, km/h, http:/a",
    "Hello! Well! [No]!",
    "C:\\Users\\new, \\o/, a\\b",
    'a = b; (c) {d} % ^ @ \' "e"',
    "  indented",
    "『本』、【书】《书》（注）",
]


@pytest.mark.parametrize("text", SAME)
def test_what_is_no_markup_survives(text: str) -> None:
    """Arithmetic, names, prices and brackets come out as they are, whole and one character at a time."""
    assert spoken(text) == text
    assert spoken(*text) == text


@pytest.mark.parametrize(
    ("language", "expected"),
    [("en", "(code example)\n"), ("zh-CN", "（代码示例）\n"), ("ja", "（コード例）\n"), ("de", "(code example)\n")],
)
def test_the_language_before_any_word(language: str, expected: str) -> None:
    """Before the text tells its script, code is named in the language that was given."""
    assert spoken("```\nx\n```\n", language=language) == expected


def test_the_text_tells_its_language() -> None:
    """The script of what was said last goes before the language that was given."""
    assert spoken("Well:\n```\nx\n```\n", language="zh") == "Well:\n(code example)\n"
    assert spoken("好：\n```\nx\n```\n1. 2", language="en") == "好：\n（代码示例）\n1，2."


@pytest.mark.parametrize(
    ("pieces", "given"),
    [
        (["He", "llo"], ["He", "llo"]),
        (["a *", "b"], ["a ", "b"]),
        (["a **", "b**", " c"], ["a ", "b", " c"]),
        (["#", "#", " ", "A", "\n"], ["", "", "", "A", ".\n"]),
        (["-", "5"], ["", "-5"]),
        (["- ", "a"], ["", "a"]),
        (["1", ".", " ", "a"], ["", "", "", "1, a"]),
        (["1", "2"], ["", ""]),
        (["1", " day"], ["", "1 day"]),
        (["$", "5 a", "nd"], ["", "", "$5 and"]),
        (["Hello!", " Well"], ["Hello!", " Well"]),
        (["a [", "b", "] c"], ["a ", "", "[b] c"]),
        (["[a](", "b", ")"], ["", "", "a"]),
        (["a <", " b"], ["a ", "< b"]),
        (["a &", " b"], ["a ", "& b"]),
        (["a |", " b\n", "c"], ["a ", "", "| b\nc"]),
        (["a |", "b"], ["a ", "|b"]),
        (["```py\n", "x", "y\n```", "\n"], ["", "(Python code example)\n", "", ""]),
        (["`", "a", "`", "."], ["", "a", "", "."]),
        (["`", "make all", " the things", "\n"], ["", "make all", " the things", "\n"]),
        (["$$", " words", " go on", " and"], ["", "", " words go on", " and"]),
        (["wait [", "one ", "moment", "] ok"], ["wait ", "one ", "moment", " ok"]),
        (["[one ", "moment", "](", "x)"], ["", "", "one moment", ""]),
        (["a\n", "\n", "b"], ["a\n", "", "b"]),
        (["|a|b|\n|-|-|\n", "| c", " | d", " |", "\n"], ["a, b.\n", "c", ", d", "", ".\n"]),
    ],
)
def test_no_more_is_held_back_than_cannot_be_told(pieces: list[str], given: list[str]) -> None:
    """Only what may still become a mark is held back, and is given by the piece that decides."""
    shaper = MarkdownShaper()
    assert [shaper.feed(piece) for piece in pieces] == given


def test_a_piece_without_marks_is_not_copied() -> None:
    """In the middle of a line a plain piece comes out as the very same object."""
    shaper = MarkdownShaper()
    shaper.feed("Well ")
    piece = "".join(["he", "llo"])
    assert shaper.feed(piece) is piece


def test_a_shaper_goes_on_after_its_end() -> None:
    """What was held back is given once, and what is fed later begins a line of its own."""
    shaper = MarkdownShaper()
    assert (shaper.feed("- a *"), shaper.flush(), shaper.flush()) == ("a ", ".", "")
    assert (shaper.feed("\n# b"), shaper.flush()) == ("\nb", ".")
    assert (shaper.feed("\n```\nx"), shaper.flush(), shaper.feed("**c**")) == ("\n(code example)\n", "", "c")


def test_the_tags_of_a_platform_are_left_for_another_shaper() -> None:
    """What begins like a platform's control tag is passed through, whole, and not spoken as words."""
    text = "a <No Interrupting>b <No Way> <imsagent_hangup/> <imsagent_x y='1'>"
    for pieces in ([text], [*text]):
        shaper = MarkdownShaper(tags=("<imsagent_", "<No Interrupting"))
        given = "".join([*map(shaper.feed, pieces), shaper.flush()])
        assert given == "a <No Interrupting>b No Way <imsagent_hangup/> <imsagent_x y='1'>"
