"""The behaviours of a provider when something goes wrong: failures, leaving, wrong options, secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, cast

from ecs_agent.errors import ErrorKind, ProviderError, UnsupportedFeatureError
from ecs_agent.providers.protocol import ProviderLike
from ecs_agent.providers.script import Answer, Step
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.testing.contract_subject import ASKED, CANARY, Subject, closing, same, streamed
from ecs_agent.testing.fault_laws import assert_fault_laws
from ecs_agent.testing.fault_plan import FaultPlan
from ecs_agent.testing.laws import BrokenLawError, Law
from ecs_agent.testing.script_reply import scripted_reply
from ecs_agent.testing.stream_laws import assert_stream_laws
from ecs_agent.testing.transport import ScriptedTransport
from ecs_agent.testing.watched import opened
from ecs_agent.types import (
    ReasoningPart,
    ToolCall,
    Usage,
)

# Failures


async def overflow(subject: Subject) -> None:
    """A conversation that is too long is told apart from other refusals."""
    plan = FaultPlan(refuse=ErrorKind.CONTEXT_LENGTH)
    error = await _refused(subject, plan)
    same(Law.FAULT, "an overflow", (error.kind, error.retryable), (ErrorKind.CONTEXT_LENGTH, False))


async def _refused(subject: Subject, plan: FaultPlan) -> ProviderError:
    try:
        await streamed(subject, [scripted_reply("Hi.", plan, wire=subject.wire)])
    except ProviderError as error:
        return error
    raise BrokenLawError(Law.FAULT, f"{plan!r} was taken for an answer")


async def errors(subject: Subject) -> None:
    """Every kind of failure, before the answer and at every place of it."""
    plans = [FaultPlan(refuse=kind) for kind in ErrorKind]
    plans += [FaultPlan(fail_after=place, fail_with=kind) for kind in ErrorKind for place in range(4)]
    plans += [FaultPlan(cut_after=place, end=end) for end in ("eof", "reset", "stall") for place in range(4)]
    said: list[Step] = ["One two. ", ToolCall("call_1", "add", {"a": 1}), Usage(1, 2, 3)]
    await assert_fault_laws(_in_memory(subject), plans, answer=said, over="memory", wire=subject.wire)


async def chaos(subject: Subject) -> None:
    """Fifty drawn plans of everything that can go wrong on the way."""
    await assert_fault_laws(_in_memory(subject), over="memory", wire=subject.wire)


def _in_memory(subject: Subject) -> Callable[[Any], ProviderLike]:
    return lambda transport: subject.make(cast("ScriptedTransport", transport))


async def leaving(subject: Subject) -> None:
    """Closed, left, cancelled and dropped, early and late; an answer that is over stays over."""
    answers: list[list[Step]] = [
        ["One ", 0.01, "two ", 0.01, "three."],
        ["Hi.", ToolCall("call_1", "add", {"a": 1})],
        [ReasoningPart("Hm. "), 0.01, "Yes."],
    ]
    for answer in answers:
        async with closing(subject.make(ScriptedTransport([answer]))) as provider:
            await assert_stream_laws(provider, deterministic=True)


async def asked_wrongly(subject: Subject) -> None:
    """What cannot be asked is refused before anything is sent."""
    transport = ScriptedTransport(["Hi."])
    async with closing(subject.make(transport)) as provider:
        for options, expected in (({"response_format": {"type": "json_object"}}, UnsupportedFeatureError), ({"temprature": 1}, TypeError)):
            try:
                await provider.complete(list(ASKED), stream=True, **options)
            except expected:
                continue
            raise BrokenLawError(Law.STRUCTURED, f"a stream with {options} was accepted")
    same(Law.STRUCTURED, "the number of requests that were sent", len(transport.requests), 0)


async def secrets(subject: Subject) -> None:
    """The key is sent, and appears nowhere else, even where the server says it back."""
    with _everything_logged() as lines:
        for kind in ErrorKind:
            for plan in (FaultPlan(refuse=kind), FaultPlan(fail_after=1, fail_with=kind)):
                echo: Answer = ["Hi. ", "there. "]
                reply = scripted_reply(echo, plan, wire=subject.wire)
                pieces = [piece.replace(b"by plan", f"by plan {CANARY}".encode()) if isinstance(piece, bytes) else piece for piece in reply.pieces]
                transport = ScriptedTransport([type(reply)(pieces, reply.status, {**reply.headers, "x-request-id": CANARY}, reply.end)])
                error = await _failure(subject.make(transport))
                for place in (str(error), repr(error), repr(vars(error)), *lines):
                    if CANARY in place:
                        raise BrokenLawError(Law.SECRETS, f"the key is in {place[:200]!r}")
                if is_object(transport.requests[0].body) and CANARY in json.dumps(transport.requests[0].body):
                    raise BrokenLawError(Law.SECRETS, "the key is in the body of the request")
                if CANARY not in repr(transport.requests[0].headers):
                    raise BrokenLawError(Law.SECRETS, "the key was not sent, so this says nothing; give the provider the key CANARY")


async def _failure(provider: ProviderLike) -> ProviderError | None:
    async with closing(provider):
        try:
            stream = await opened(provider, ASKED, {})
            async for _ in stream:
                pass
        except ProviderError as error:
            return error
    return None


class _Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, with all its fields."""
        self.lines.append(f"{record.getMessage()} {vars(record)!r}")


@contextmanager
def _everything_logged() -> Generator[list[str]]:
    handler, logger = _Lines(), logging.getLogger("ecs_agent")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
