"""`--model fake`: no model at all, so that the command, its output and your tools can be tried without key, network or weights."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Literal, Unpack, overload

from ecs_agent.providers import FakeProvider
from ecs_agent.providers.protocol import RequestOptions
from ecs_agent.streaming import CompletionStream
from ecs_agent.types import CompletionResult, Message, ToolCall

_CALL = re.compile(r"call\s+([A-Za-z0-9_-]+)\s*(\{.*\})?\s*", re.DOTALL)


class EchoProvider:
    """Repeats what it is told, and says so. "call add {"a": 2}" makes it call the tool add, and then repeat the tool's result."""

    name = "fake"
    model = "fake"

    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[False] = False, **options: Unpack[RequestOptions]) -> CompletionResult: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[True], **options: Unpack[RequestOptions]) -> CompletionStream: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: bool, **options: Unpack[RequestOptions]) -> CompletionResult | CompletionStream: ...
    async def complete(
        self, messages: Sequence[Message], stream: bool = False, **options: Unpack[RequestOptions]
    ) -> CompletionResult | CompletionStream:
        """Answer the last message."""
        return await FakeProvider([answer_to], delay=0.005).complete(messages, stream, **options)


def answer_to(messages: Sequence[Message]) -> str | CompletionResult:
    """What the echo says to a conversation."""
    last = messages[-1]
    if last.role == "tool":
        return f"The tool said: {last.content}"
    if asked := _CALL.fullmatch(last.content):
        name, arguments = asked.groups()
        try:
            call = ToolCall(f"call_{len(messages)}", name, json.loads(arguments or "{}"))
        except ValueError as error:
            return f"These arguments are no JSON: {error}"
        return CompletionResult(Message("assistant", "", [call]), finish_reason="tool_calls")
    return f"I am no model, I repeat. You said: {last.content}"
