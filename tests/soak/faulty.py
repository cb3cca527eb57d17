"""Model services that fail at random, in a process of their own: one line of JSON says where they are.

To each line of standard input it answers how many connections are open; it ends when standard input does. What a
service says is made of marks: who says it, to which turn, in which of its answers, and which of how many pieces it is.
The turn is the caller's last word; one that ends in ``d`` (dark) is failed by every service. Every word is another
where it is told twice, or by two services.
"""

from __future__ import annotations

import json
import random
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from offhook.testing import POSSIBLE, fault_upstream, says, with_fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from offhook.testing import Answer
    from offhook.testing.upstream import Request

SERVICES = ("a", "b", "c", "d", "e")
# Of the answers to a turn that is not dark so many have a fault.
SHARE = 0.5
# A port that is closed and a queue that is full are the state of a whole service.
FAULTS = [two for two in POSSIBLE if two not in (("refuse", "connect"), ("stall", "connect"))]


def plan(name: str) -> Callable[[int, Request], Answer]:
    """Give the plan of a service."""

    def answer(number: int, request: Request) -> Answer:
        tag = turn_of(request.body)
        chance = random.Random(f"{name} {number} {tag}")
        total = chance.randint(2, 9)
        marks = [f"{name}.{tag}.{number}.{place}/{total}; " for place in range(total)]
        good = says(*marks, every=chance.choice((0.0, 0.01, 0.04)))
        if not tag.endswith("d") and chance.random() > SHARE:
            return good
        fault, phase = chance.choice(FAULTS)
        return with_fault(
            good, fault, phase, after=chance.randint(0, total), seconds=chance.uniform(0.05, 0.9), retry_after=1
        )

    return answer


def turn_of(body: Any) -> str:
    """Give the turn that a request is for."""
    word: str = body["messages"][-1]["content"]
    return word


def main() -> None:
    """Serve until standard input ends."""
    dead = [with_fault(says("never"), "refuse", "connect"), with_fault(says("never"), "stall", "connect")]
    with ExitStack() as stack:
        services = {name: stack.enter_context(fault_upstream(plan(name))) for name in SERVICES}
        services |= {name: stack.enter_context(fault_upstream(one)) for name, one in zip("yz", dead, strict=True)}
        say({name: service.base_url for name, service in services.items()})
        for _ in sys.stdin:
            say({"open": sum(services[name].live for name in SERVICES)})


def say(answer: dict[str, Any]) -> None:
    """Print an answer at once."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
