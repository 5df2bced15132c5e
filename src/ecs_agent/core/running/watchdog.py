"""Driving a call from one wait to the next: what it gathered is written before it waits, and who keeps the event loop for too long is named.

A call that computes for long without awaiting stops all agents of the process. Each stretch of a call between two awaits is timed; the longest
that is over the limit is told when the call ends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import coroutine
from typing import Any, cast

from ecs_agent.core.entity import Entity

BLOCKED = 0.25
"""Seconds that a call may keep the loop at a time."""


@coroutine
def driven(running: Awaitable[None], lease: Entity, clock: Callable[[], float], blocked: Callable[[float], None]) -> Generator[object, object, None]:
    """Drive a call to its end.

    Args:
        running: the call.
        lease: what it writes through.
        clock: seconds.
        blocked: told of the longest stretch in which it kept the loop for too long, in seconds; not called when there was none.
    """
    call = cast("Coroutine[Any, Any, None]", running)  # an entity system is an async function, which is checked where it is decorated
    send, throw = call.send, call.throw
    longest = 0.0
    began = clock()
    try:
        awaited = send(None)
        while True:
            if lease.gathered is not None:
                try:
                    lease.write()
                except Exception as error:  # noqa: BLE001 - it is raised where the call waits
                    awaited = throw(error)
                    continue
            taken = clock() - began
            longest = max(longest, taken)
            try:
                sent = yield awaited
            except BaseException as error:  # noqa: BLE001 - whatever is thrown in belongs to the call
                began = clock()
                awaited = throw(error)
            else:
                began = clock()
                awaited = send(sent)
    except StopIteration:
        return
    finally:
        lease.write()
        longest = max(longest, clock() - began)
        if longest > BLOCKED:
            blocked(longest)
