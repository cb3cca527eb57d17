"""How ``offhook keys`` shows keys: a table for a person, plain objects for a program; never a key or its digest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.table import Table

from offhook.cli.calls_view import iso, local, shown
from offhook.server.keys import KeyRecord, Limits


def table_of(records: Sequence[KeyRecord], now: float) -> Table:
    """Give the list of keys for a person; ``now`` is in seconds since the epoch."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("id", "name", "state", "scopes", "created", "expires", "limits"):
        # Where all do not fit, a name is cut and lists are folded; ids are to be typed.
        table.add_column(name, no_wrap=name not in ("scopes", "limits"), overflow="ellipsis")
    for record in records:
        table.add_row(
            record.id,
            shown(record.name),
            record.state(now),
            ", ".join(record.scopes),
            local(record.created_at, "%Y-%m-%d"),
            "never" if record.expires_at is None else local(record.expires_at, "%Y-%m-%d %H:%M"),
            limits_text(record.limits),
        )
    return table


def limits_text(limits: Limits) -> str:
    """Give the limits of a key in words."""
    told = [
        f"{most} {what}"
        for most, what in (
            (limits.calls, "calls"),
            (limits.turns_per_minute, "turns/min"),
            (limits.tokens_per_minute, "tokens/min"),
        )
        if most is not None
    ]
    return ", ".join(told) or "no limits"


def key_object(record: KeyRecord, now: float) -> dict[str, Any]:
    """Give a key for a program: times in ISO 8601 (UTC), null for no end and no limit."""
    return {
        "id": record.id,
        "name": record.name,
        "state": record.state(now),
        "scopes": list(record.scopes),
        "created_at": iso(record.created_at),
        "expires_at": iso(record.expires_at),
        "revoked_at": iso(record.revoked_at),
        "speech": record.speech,
        "limits": msgspec.structs.asdict(record.limits),
    }
