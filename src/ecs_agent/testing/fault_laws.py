"""`assert_fault_laws`: put a provider in front of a server that does what fault plans say, and hold its reports against them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, overload

from ecs_agent.errors import ProviderError
from ecs_agent.providers.protocol import ProviderLike
from ecs_agent.providers.script import Answer
from ecs_agent.providers.transport import Transport
from ecs_agent.testing.answers import Received
from ecs_agent.testing.fault_plan import FaultPlan
from ecs_agent.testing.laws import BrokenLawError, Law, check_deltas, check_error, check_typed
from ecs_agent.testing.outcome import expected_outcome
from ecs_agent.testing.reply import Reply
from ecs_agent.testing.script_draw import random_script
from ecs_agent.testing.script_reply import scripted_reply
from ecs_agent.testing.server import LoopbackServer
from ecs_agent.testing.transport import ScriptedTransport
from ecs_agent.testing.watched import TaskWatch, opened
from ecs_agent.testing.wires import WireFamily, writer_of
from ecs_agent.types import CompletionResult, Message, StreamDelta


@overload
async def assert_fault_laws(
    make_provider: Callable[[str], ProviderLike],
    plans: Iterable[FaultPlan] | None = ...,
    *,
    answer: Answer | None = ...,
    over: Literal["sockets"] = ...,
    patience: float = ...,
    limit: float = ...,
    wire: WireFamily = ...,
) -> None: ...
@overload
async def assert_fault_laws(
    make_provider: Callable[[Transport], ProviderLike],
    plans: Iterable[FaultPlan] | None = ...,
    *,
    answer: Answer | None = ...,
    over: Literal["memory"],
    patience: float = ...,
    limit: float = ...,
    wire: WireFamily = ...,
) -> None: ...
async def assert_fault_laws(
    make_provider: Callable[[Any], ProviderLike],
    plans: Iterable[FaultPlan] | None = None,
    *,
    answer: Answer | None = None,
    over: Literal["sockets", "memory"] = "sockets",
    patience: float = 1.0,
    limit: float = 30.0,
    wire: WireFamily = "openai-chat",
) -> None:
    """Hold a provider against what fault plans say that it must report.

    One provider is made and asked once per plan, so that what one fault leaves behind in it shows in the next answer.

    Args:
        make_provider: makes it from the base URL of a server on loopback, or with `over="memory"` from a transport. It should not retry, and
            its limit for a silent server must be short, for many plans stall.
        plans: what goes wrong; the seeds 0 to 49 by default.
        answer: what the server is to say; drawn from each plan's seed by default.
        over: real sockets, or in memory, where it can run on the virtual clock of `ecs_agent.testing.run`.
        patience: seconds within which tasks and connections must be gone.
        limit: seconds after which a plan counts as hung.
        wire: the protocol that the provider speaks.

    Raises:
        BrokenLawError: the law, the plan, the script, and what differed. It is an AssertionError.
    """
    if over not in ("sockets", "memory"):
        raise ValueError(f"over is {over!r}; it must be 'sockets' or 'memory'")
    writer_of(wire)  # an unknown one is told before anything is done
    replies: list[Reply] = []

    def reply(_: Received) -> Reply:
        return replies[-1]

    async with _Server(reply, over) as server:
        provider = make_provider(server.given)
        for plan in [FaultPlan.random(seed) for seed in range(50)] if plans is None else plans:
            said = random_script(plan.seed, wire) if answer is None else answer
            replies[:] = [scripted_reply(said, plan, wire=wire)]
            server.requests.clear()
            try:
                await _try(provider, plan, said, server, wire, patience, limit)
            except BrokenLawError as error:
                raise BrokenLawError(error.law, error.difference, f"plan: {plan!r}", f"script: {said!r}") from error
        close = getattr(provider, "aclose", None)
        if close is not None:
            await close()


class _Server:
    """A server of either kind."""

    def __init__(self, reply: Callable[[Received], Reply], over: Literal["sockets", "memory"]) -> None:
        self.over = over
        self._sockets = LoopbackServer([reply])
        self._memory = ScriptedTransport([reply])
        self.requests = self._sockets.requests if over == "sockets" else self._memory.requests

    @property
    def given(self) -> object:
        """What a provider is made from."""
        return self._sockets.base_url if self.over == "sockets" else self._memory

    async def __aenter__(self) -> Self:
        if self.over == "sockets":
            await self._sockets.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sockets.aclose()


@dataclass(frozen=True, slots=True)
class _Report:
    """What a client made of an answer."""

    deltas: Sequence[StreamDelta]
    result: CompletionResult | None
    error: ProviderError | None


async def _try(provider: ProviderLike, plan: FaultPlan, said: Answer, server: _Server, wire: WireFamily, patience: float, limit: float) -> None:
    with TaskWatch() as watch:
        clock = asyncio.timeout(limit)
        try:
            async with clock:
                report = await _reported(provider, plan.consumer_pause)
        except TimeoutError as error:
            if not clock.expired():
                check_typed(error)
            raise BrokenLawError(Law.FAULT, f"the client still waits after {limit} s") from error
        if not server.requests:
            raise BrokenLawError(Law.FAULT, "the server was not asked")
        if report.error is not None and report.result is not None:
            check_error(report.error, report.deltas)
        elif report.result is not None:
            check_deltas(report.deltas, report.result, ended=True)
        difference = expected_outcome(said, plan, lossy=server.over == "sockets", wire=wire).differs(report.result, report.error)
        if difference is not None:
            raise BrokenLawError(Law.FAULT, difference)
        await watch.check(patience)
    await _released(server.requests, patience)


async def _reported(provider: ProviderLike, pause: float) -> _Report:
    deltas: list[StreamDelta] = []
    try:
        stream = await opened(provider, [Message("user", "Hello")], {})
    except ProviderError as error:
        return _Report(deltas, error.partial, error)
    except Exception as error:
        check_typed(error)
        raise
    try:
        async for delta in stream:
            deltas.append(delta)
            if pause:
                await asyncio.sleep(pause)
    except ProviderError as error:
        if error.partial is None:
            check_error(error, deltas)
        return _Report(deltas, error.partial, error)
    except Exception as error:
        check_typed(error)
        raise
    finally:
        await stream.aclose()
    return _Report(deltas, stream.result(), None)


async def _released(requests: Sequence[Received], patience: float) -> None:
    for request in requests:
        try:
            async with asyncio.timeout(patience):
                await request.closed.wait()
        except TimeoutError as error:
            raise BrokenLawError(Law.RELEASED, f"the server's connection is still open after {patience} s") from error
