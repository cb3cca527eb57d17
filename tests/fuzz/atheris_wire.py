"""Coverage-guided fuzzing of the event and chunk decoders: python -m tests.fuzz.atheris_wire -runs=100000.

Needs atheris, which is not among the tools of the project: it is for some machines only.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any

atheris: Any = importlib.import_module("atheris")

with atheris.instrument_imports(include=["offhook"]):
    from offhook.errors import RequestError, WireError
    from offhook.wire.chat import decode_request
    from offhook.wire.fold import Fold
    from offhook.wire.sse import Decoder


def one_input(data: bytes) -> None:
    """Give the bytes to each decoder, cut where their first byte says; any error but their own ends the run."""
    cut = data[0] if data else 0
    decoder, fold = Decoder(max_event=5000), Fold()
    try:
        for event in [*decoder.feed(data[:cut]), *decoder.feed(data[cut:]), *decoder.flush()]:
            fold.feed(event.data)
    except WireError:
        pass
    with contextlib.suppress(RequestError):
        decode_request(data)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
