"""A loop on virtual time that draws by chance which task goes on first, to find agents that are coupled without anybody's having said so.

Whatever tasks are ready at one moment may run in any order: no program may rely on it, and agents that share nothing show no difference. So run
the same agents with some seeds and compare what each did with a run of `run`, which always takes the order in which tasks became ready. What
differs depends on something that two agents share: a global, a tool with a state, a limit, a random generator.

    logs = run(crew)
    assert all(run_shuffled(crew, seed) == logs for seed in range(20))

Everything that asyncio promises stays true, because libraries rely on it:

* Only steps of tasks change places, each with steps of other tasks that are ready in the same turn of the loop. A task has one step at a time.
* Callbacks of `call_soon`, of timers, of futures that are done and of transports stay in their order, and no step passes by one: what became ready
  before it runs before it.
* A turn stays a turn: what becomes ready during one runs in the next.

Time is not shuffled. Agents that wake at different moments, be it a microsecond, keep their order; draw their delays by seed as well if that matters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from random import Random
from typing import Any, TypeVar, TypeVarTuple, Unpack

from ecs_agent.testing.virtual_clock import VirtualClockLoop

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class ShufflingLoop(VirtualClockLoop):
    """An event loop on virtual time whose tasks take turns in an order drawn by a seed; the same seed is the same order in any process."""

    def __init__(self, seed: int) -> None:
        self._draw = Random(seed)  # noqa: S311 - chance, not a secret
        self._steps: list[asyncio.Handle] = []
        super().__init__()

    def call_soon(self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None) -> asyncio.Handle:
        """As ever; for a step of a task this reserves the place of one of the steps that are ready with it."""
        if not _is_step(callback):
            self._steps = []  # those before this callback stay there
            return super().call_soon(callback, *args, context=context)
        self._steps.append(asyncio.Handle(callback, args, self, context))
        return super().call_soon(self._go_on, self._steps)

    def _turn_begins(self) -> None:
        """Steps that become ready from now on belong to the next turn."""
        self._steps = []

    def _go_on(self, steps: list[asyncio.Handle]) -> None:
        steps.pop(self._draw.randrange(len(steps)))._run()  # noqa: SLF001 - as the loop itself runs it: in its context, with its errors told


def _is_step(callback: Callable[..., object]) -> bool:
    """Whether a callback goes on with a task. Methods that others may call, such as its `cancel`, do not."""
    task = getattr(callback, "__self__", None)
    return isinstance(task, asyncio.Task) and not hasattr(asyncio.Task, getattr(callback, "__name__", ""))


def run_shuffled(main: Callable[[], Coroutine[Any, Any, T]], seed: int) -> T:
    """Run an async function on virtual time, with the order of tasks that are ready at one moment drawn by a seed.

    Args:
        main: called without arguments.
        seed: the same one gives the same order.

    Raises:
        VirtualDeadlockError: everything waits for something that no timer will bring about.
    """
    with asyncio.Runner(loop_factory=partial(ShufflingLoop, seed)) as runner:
        return runner.run(main())
