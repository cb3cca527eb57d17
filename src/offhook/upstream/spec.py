"""A model service, as data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from offhook.client.address import address, bearer
from offhook.errors import SetupError

# What is asked of every service, so that a line of the table cannot change it.
_OURS = ("messages", "stream", "model")
# A header's name (RFC 9110, section 5.6.2), and what would end its value.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NO_HEADER_VALUE = re.compile(r"[\x00-\x1f\x7f]")


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a million tokens cost, in any currency."""

    prompt: Annotated[float, Meta(ge=0)] = 0.0
    completion: Annotated[float, Meta(ge=0)] = 0.0


class UpstreamSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a model service is and how to ask it: one entry of ``[[upstream]]``. Times are in seconds.

    ``base_url`` is without ``/chat/completions``; ``model`` None means the request's own model name. The key goes into
    ``Authorization: Bearer``, or as it is into ``key_header`` where that is given (Azure: ``api-key``). ``headers`` and
    ``body`` are sent with every request. Of those that are healthy one is asked first with a chance that grows with its
    ``weight``. ``first_useful``, ``hedge_after`` and ``stall_after`` win over ``[failover]``. ``call_id_as`` says where
    the call's id is passed on, for routers that keep a call on one machine: ``user`` (the body's field),
    ``header:NAME``, ``body:NAME`` or ``none``. So many ``connections`` are opened before the first call.

    Quirks: ``usage`` False asks for no usage chunk (``stream_options``), for services that refuse it; ``omit`` names
    fields of the request that the service does not take; ``max_tokens_as`` is the name it has for the limit of tokens;
    ``thinks_first`` tells that its answers begin inside the reasoning, without an opening tag.
    """

    name: Annotated[str, Meta(min_length=1)]
    base_url: str
    model: str | None = None
    key: str | None = None
    key_file: str | None = None
    key_header: str | None = None
    headers: dict[str, str] = {}
    body: dict[str, Any] = {}
    weight: Annotated[float, Meta(gt=0)] = 1.0
    price: Price | None = None
    connect_timeout: Annotated[float, Meta(gt=0)] = 3.0
    first_useful: Annotated[float, Meta(gt=0)] | None = None
    hedge_after: Annotated[float, Meta(ge=0)] | None = None
    stall_after: Annotated[float, Meta(gt=0)] | None = None
    call_id_as: str = "none"
    usage: bool = True
    omit: list[str] = []
    max_tokens_as: str | None = None
    thinks_first: bool = False
    connections: Annotated[int, Meta(ge=0, le=64)] = 1


def specs_of(tables: list[dict[str, Any]]) -> tuple[UpstreamSpec, ...]:
    """Give the model services of ``[[upstream]]``.

    Raises SetupError, in one line that names the entry, when a field is wrong, a name stands twice or a key cannot be
    read.
    """
    specs: dict[str, UpstreamSpec] = {}
    for number, table in enumerate(tables, 1):
        named = f"[[upstream]] {table.get('name', f'number {number}')!r}"
        for key in table:
            if key not in UpstreamSpec.__struct_fields__:
                names = ", ".join(UpstreamSpec.__struct_fields__)
                raise SetupError(f"{named} has no field {key!r}; there are: key_env, {names}.")
        try:
            spec = msgspec.convert(table, UpstreamSpec)
        except msgspec.ValidationError as error:
            raise SetupError(f"{named}: {error}.") from None
        if spec.name in specs:
            raise SetupError(f"{named} stands there twice; each needs a name of its own.")
        specs[spec.name] = _checked(spec, named)
    return tuple(specs.values())


def spec_of_url(base_url: str, *, model: str | None = None, key: str | None = None) -> UpstreamSpec:
    """Give the model service of ``--upstream``; its name is its host, without path and query, where a key may stand."""
    name = urlsplit(base_url).netloc.rpartition("@")[2] or "upstream"
    return UpstreamSpec(name=name, base_url=base_url, model=model, key=key, connections=0)


def _checked(spec: UpstreamSpec, named: str) -> UpstreamSpec:
    ours = [name for name in _OURS if name in spec.body or name in spec.omit]
    if ours:
        raise SetupError(f"{named}: {ours[0]!r} is not to be set or left out by body or omit.")
    place, colon, name = spec.call_id_as.partition(":")
    if spec.call_id_as not in ("user", "none") and not (place in ("header", "body") and colon and name):
        raise SetupError(f"{named}: call_id_as = {spec.call_id_as!r}; write user, header:NAME, body:NAME or none.")
    spec = _with_key(spec, named) if spec.key_file else spec
    headers = {**spec.headers, **({name: ""} if place == "header" else {})}
    if spec.key_header is not None:
        headers[spec.key_header] = spec.key or ""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or _NO_HEADER_VALUE.search(value):
            raise SetupError(f"{named}: the header {name!r} has a name or value that no header can have.")
    try:
        # Where it is asked, and with which key.
        address(spec.base_url, "")
        bearer(spec.key)
    except SetupError as error:
        raise SetupError(f"{named}: {error.message}") from None
    return spec


def _with_key(spec: UpstreamSpec, named: str) -> UpstreamSpec:
    if spec.key:
        raise SetupError(f"{named} has key beside key_file; leave one out.")
    assert spec.key_file is not None, "asked for only where there is one"
    try:
        key = Path(spec.key_file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{named}: its key file {spec.key_file} cannot be read: {error}.") from None
    if not key:
        raise SetupError(f"{named}: its key file {spec.key_file} is empty.")
    return msgspec.structs.replace(spec, key=key)


def cost_of(price: Price | None, prompt_tokens: int, completion_tokens: int) -> float | None:
    """Give what so many tokens cost; None without a price."""
    if price is None:
        return None
    return (price.prompt * prompt_tokens + price.completion * completion_tokens) / 1_000_000
