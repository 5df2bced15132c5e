"""What is held against the contract of a provider, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from ecs_agent.providers.calling import ask
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.providers.script import Answer, Step
from ecs_agent.testing.answers import ServerAnswer
from ecs_agent.testing.laws import BrokenLawError, Law, check_deltas
from ecs_agent.testing.transport import ScriptedTransport
from ecs_agent.testing.watched import opened
from ecs_agent.testing.wire import WireWriter
from ecs_agent.testing.wires import WireFamily, writer_of
from ecs_agent.types import (
    CompletionResult,
    Message,
    StreamDelta,
    ToolSchema,
)

ADD: Final = ToolSchema("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
ASKED: Final = (Message("user", "Hello"),)
CANARY: Final = "canary-5f1c9e2b7d604a83"
"""A key that must appear nowhere."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is held against the contract.

    Attributes:
        make: makes the provider from a transport that answers from scripts. It should not retry, its key is `CANARY`, and its limit for a silent
            server is some seconds.
        wire: the protocol that it speaks.
    """

    make: Callable[[ScriptedTransport], ProviderLike]
    wire: WireFamily = "openai-chat"

    @property
    def writer(self) -> type[WireWriter]:
        """Who writes its protocol."""
        return writer_of(self.wire)

    def can_say(self, steps: Sequence[Step]) -> bool:
        """Whether its protocol has words for an answer."""
        return all(self.writer.can_say(step) for step in steps)


Behaviour: TypeAlias = Callable[[Subject], Coroutine[Any, Any, None]]


async def streamed(
    subject: Subject, answers: Sequence[ServerAnswer], messages: Sequence[Message] = ASKED, **options: Any
) -> tuple[CompletionResult, list[StreamDelta], ScriptedTransport]:
    """The answer to a streamed request, its deltas, and what was asked."""
    transport = ScriptedTransport(answers)
    async with closing(subject.make(transport)) as provider:
        stream = await opened(provider, messages, cast("RequestOptions", options))
        deltas = [delta async for delta in stream]
        check_deltas(deltas, stream.result(), ended=True)
        await stream.aclose()
        return stream.result(), deltas, transport


class closing:  # noqa: N801 - used as a word in a sentence
    """Closes a provider, if it can be closed."""

    def __init__(self, provider: ProviderLike) -> None:
        self._provider = provider

    async def __aenter__(self) -> ProviderLike:
        return self._provider

    async def __aexit__(self, *_: object) -> None:
        close = getattr(self._provider, "aclose", None)
        if close is not None:
            await close()


async def both(subject: Subject, answer: Answer, **options: Any) -> CompletionResult:
    """The streamed answer, which must be the whole one as well."""
    result, _, _ = await streamed(subject, [answer], **options)
    async with closing(subject.make(ScriptedTransport([answer]))) as provider:
        whole = await ask(provider, ASKED, cast("RequestOptions", options))
    same(Law.WHOLE, "the whole answer", facts(whole), facts(result))
    return result


def facts(result: CompletionResult) -> tuple[object, ...]:
    """What must not depend on how an answer was asked for."""
    message = result.message
    return (message.content, message.reasoning, message.refusal, message.tool_calls, result.finish_reason, result.usage)


def same(law: Law, what: str, found: object, expected: object) -> None:
    """Whether what was found is what was expected."""
    if found != expected:
        raise BrokenLawError(law, f"{what} is {found!r}, expected {expected!r}")
