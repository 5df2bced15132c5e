"""Outside: the one gate through which models and tools are asked. A replay puts a recording in its place; nothing else need know."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from ecs_agent.components import TurnComponent
from ecs_agent.providers.calling import ask, open_answer
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.tools.execution import ToolOutcome
from ecs_agent.types import CompletionResult, EntityId, Message, StreamDelta, ToolCall


class Outside:
    """Asks models and runs tools for the systems of a World; a resource of it.

    Each is told who asks, and for which attempt or call: with these a recording finds what came of it.
    """

    async def open_answer(
        self,
        entity: EntityId,  # noqa: ARG002 - for those who take its place
        turn: TurnComponent,  # noqa: ARG002
        provider: ProviderLike,
        messages: Sequence[Message],
        options: RequestOptions,
    ) -> CompletionStream | AsyncGenerator[StreamDelta, None]:
        """Ask for a stream; see `ecs_agent.providers.calling.open_answer`."""
        return await open_answer(provider, messages, options)

    async def ask(
        self,
        entity: EntityId,  # noqa: ARG002
        turn: TurnComponent,  # noqa: ARG002
        provider: ProviderLike,
        messages: Sequence[Message],
        options: RequestOptions,
    ) -> CompletionResult:
        """Ask for a whole answer."""
        return await ask(provider, messages, options)

    async def run_tool(
        self,
        entity: EntityId,  # noqa: ARG002
        turn: TurnComponent,  # noqa: ARG002
        call: ToolCall,  # noqa: ARG002
        run: Callable[[], Awaitable[ToolOutcome]],
    ) -> ToolOutcome:
        """Run a tool."""
        return await run()
