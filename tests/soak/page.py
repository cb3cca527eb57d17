"""The page docs/soak.md: each test writes a part of its own and leaves those of others as they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = Path(__file__).resolve().parents[2] / "docs" / "soak.md"
# In the order in which they stand there.
PARTS = ("Clients that go away", "Servers that are killed", "Services that fail and callers that interrupt")
HEAD = "# Soak\n\nWritten by `make soak`: what many calls for a long time leave behind.\n"


def write_part(title: str, lines: Sequence[str], page: Path = PAGE) -> None:
    """Write one part of the page, in the place of an older one."""
    assert title in PARTS
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    found = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)
    parts = {name: body for name, body in zip(found[1::2], found[2::2], strict=True) if name in PARTS}
    parts[title] = "\n" + "\n".join(lines)
    whole = [HEAD, *(f"## {name}\n\n{parts[name].strip()}\n" for name in PARTS if name in parts)]
    page.parent.mkdir(exist_ok=True)
    page.write_text("\n".join(whole), encoding="utf-8")
