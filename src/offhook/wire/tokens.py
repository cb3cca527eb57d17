"""A guess at tokens for replies whose agent counts none.

No tokenizer is asked: each CJK character counts as one token, and four other characters as one. It is an
estimate for ``usage`` fields that a client insists on; a model's own count always wins.
"""

from __future__ import annotations

import re

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")


def estimate(text: str) -> int:
    """Give the estimated number of tokens of ``text``; 0 only for the empty string."""
    cjk = len(_CJK.findall(text))
    return cjk + (len(text) - cjk + 3) // 4
