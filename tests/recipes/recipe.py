"""Serves a recipe as a person does: its own settings file, with the model services put where the test has them."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from offhook.config import load
from offhook.testing import live_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pytest

    from offhook.testing import LiveServer

RECIPES = Path(__file__).resolve().parent.parent.parent / "recipes"


@contextmanager
def served(
    name: str, monkeypatch: pytest.MonkeyPatch, upstreams: Mapping[str, str], environ: Mapping[str, str] | None = None
) -> Iterator[LiveServer]:
    """Serve the recipe in its folder; ``upstreams`` has the test's base URL for each ``[[upstream]]`` of the file."""
    monkeypatch.chdir(RECIPES / name)
    loaded = load({}, config="offhook.toml", environ=environ or {}).settings
    tables = loaded.upstream_table
    assert {table["name"] for table in tables} == set(upstreams)
    settings: dict[str, Any] = {
        field: value
        for field in loaded.__struct_fields__
        if (value := getattr(loaded, field)) != getattr(_DEFAULTS, field) and field not in ("data_dir", "store")
    }
    settings["upstream_table"] = [{**table, "base_url": upstreams[table["name"]]} for table in tables]
    with live_server(**settings) as server:
        yield server


_DEFAULTS = msgspec.convert({}, type(load({}, environ={"OFFHOOK_CONFIG": ""}).settings))
