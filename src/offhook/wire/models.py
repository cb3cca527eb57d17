"""``GET /v1/models`` (OpenAI API reference, "Models")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from offhook.errors import UnknownModel

if TYPE_CHECKING:
    from collections.abc import Sequence


def _entry(model_id: str, created: int) -> dict[str, Any]:
    return {"id": model_id, "object": "model", "created": created, "owned_by": "offhook"}


def encode_list(model_ids: Sequence[str], created: int) -> bytes:
    """Give the list object; ``created`` is in seconds since the epoch."""
    return msgspec.json.encode({"object": "list", "data": [_entry(model_id, created) for model_id in model_ids]})


def encode_one(model_id: str, model_ids: Sequence[str], created: int) -> bytes:
    """Give one model object. Raises UnknownModel when it is not among ``model_ids``."""
    if model_id not in model_ids:
        raise UnknownModel(f"The model {model_id!r} does not exist here.", param="model")
    return msgspec.json.encode(_entry(model_id, created))
