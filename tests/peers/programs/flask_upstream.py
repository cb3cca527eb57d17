"""A model service on Flask's own server. The model's name says what it does: ``stream``, or ``hold`` and never end."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import flask
from werkzeug.serving import make_server

if TYPE_CHECKING:
    from collections.abc import Iterator

app = flask.Flask(__name__)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def event(delta: dict[str, Any], finish_reason: str | None = None) -> str:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    return f"data: {json.dumps({'id': 'c', 'object': 'chat.completion.chunk', 'choices': choices})}\n\n"


@app.post("/v1/chat/completions")
def answer() -> flask.Response:
    asked = flask.request.get_json()

    def words() -> Iterator[str]:
        try:
            yield event({"role": "assistant", "content": "你说"})
            while asked["model"] == "hold":
                # A threaded WSGI server learns that its client has left when it writes.
                time.sleep(0.02)
                yield ": still here\n\n"
            yield event({"content": asked["messages"][-1]["content"]})
            yield event({}, "stop") + "data: [DONE]\n\n"
        except GeneratorExit:
            say("left")
            raise

    return flask.Response(words(), mimetype="text/event-stream")


def main() -> None:
    """Serve until ended."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    say(f"port {server.server_port} ")
    server.serve_forever()


if __name__ == "__main__":
    main()
