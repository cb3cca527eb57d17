"""``/v1/models`` has the OpenAI shape."""

from __future__ import annotations

import json

import pytest
from openai.pagination import SyncPage
from openai.types import Model

from offhook.errors import UnknownModel
from offhook.wire import models

IDS = ["abc", "模型/1:latest", 'a"b']


def test_the_list() -> None:
    """The list names every model in its order, as the OpenAI type has it."""
    raw = models.encode_list(IDS, 1_700_000_000)
    page = SyncPage[Model].model_validate(json.loads(raw), strict=True)
    assert page.object == "list"
    assert [(model.id, model.created) for model in page.data] == [(id_, 1_700_000_000) for id_ in IDS]
    assert not any(model.model_extra for model in page.data)


def test_an_empty_list() -> None:
    """A server without models has an empty list."""
    assert json.loads(models.encode_list([], 0)) == {"object": "list", "data": []}


@pytest.mark.parametrize("id_", IDS)
def test_one_model(id_: str) -> None:
    """One model alone is the same object as in the list."""
    one = json.loads(models.encode_one(id_, IDS, 7))
    assert one in json.loads(models.encode_list(IDS, 7))["data"]
    assert Model.model_validate(one, strict=True).id == id_


@pytest.mark.parametrize("id_", ["", "abcd", "ABC", "a\nb"])
def test_an_unknown_model(id_: str) -> None:
    """A model that is not served here is an error on the field ``model``."""
    with pytest.raises(UnknownModel) as caught:
        models.encode_one(id_, IDS, 7)
    assert (caught.value.status, caught.value.param, caught.value.code) == (404, "model", "model_not_found")
    assert repr(id_) in caught.value.message
