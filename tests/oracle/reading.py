"""One answer as two clients read it: the official SDK's own accumulator, and ours."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, fields
from typing import Any

import httpx2
from openai import AsyncOpenAI, omit
from tests.providers.wire import Outcome

Call = tuple[str | None, str | None, object]
"""Id, name, and the arguments: parsed where they are JSON, so that spaces do not count."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a client says that a body holds."""

    text: str = ""
    refusal: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    finish: str | None = None
    usage: tuple[int, int, int] | None = None
    failed: str | None = None
    """The class of the error, None for an answer."""

    def differences(self, other: Reading) -> set[str]:
        """The fields in which two readings differ. Two failures agree, and after a failure only what had been delivered counts."""
        found = {field.name for field in fields(self) if getattr(self, field.name) != getattr(other, field.name)}
        if self.failed and other.failed:
            found -= {"failed"}
        if self.failed or other.failed:
            found -= {"finish", "usage"}
        return found


async def read_by_sdk(body: bytes, content_type: str = "text/event-stream", status: int = 200, *, stream: bool = True) -> Reading:
    """Let the SDK's client read a body from a transport that needs no network."""

    def answer(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"content-type": content_type}, content=body)

    transport = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    async with AsyncOpenAI(api_key="none", base_url="http://oracle.invalid/v1", max_retries=0, http_client=transport) as client:
        with warnings.catch_warnings():
            # A content that is a list makes the SDK's models warn and go on; its users see the warning, and the answer.
            warnings.simplefilter("ignore")
            return await (_streamed(client) if stream else _whole(client))


async def _streamed(client: AsyncOpenAI) -> Reading:
    failed = None
    snapshot = None
    try:
        async with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "?"}], response_format=omit) as stream:
            try:
                await stream.until_done()
            finally:
                snapshot = stream.current_completion_snapshot
    except Exception as error:  # noqa: BLE001 - any failure of the SDK is what it says about the body
        failed = type(error.__context__ if isinstance(error, AssertionError) and error.__context__ else error).__name__
    return _told(snapshot, failed)


async def _whole(client: AsyncOpenAI) -> Reading:
    try:
        return _told(await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}]), None)
    except Exception as error:  # noqa: BLE001 - any failure of the SDK is what it says about the body
        return Reading(failed=type(error).__name__)


def _told(completion: Any, failed: str | None) -> Reading:
    choice = next((choice for choice in completion.choices if choice.index == 0), None) if completion is not None else None
    if choice is None:
        return Reading(failed=failed)
    message, usage = choice.message, completion.usage
    return Reading(
        text=message.content or "",
        refusal=message.refusal or "",
        reasoning=getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None) or "",
        calls=tuple((call.id, call.function.name, _parsed(call.function.arguments)) for call in message.tool_calls or ()),
        finish=choice.finish_reason,
        usage=(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) if usage is not None else None,
        failed=failed,
    )


def read_by_us(outcome: Outcome) -> Reading:
    """What our decoder and fold made of a body."""
    result = outcome.result
    message, usage = result.message, result.usage
    return Reading(
        text=message.content,
        refusal=message.refusal,
        reasoning=message.reasoning,
        calls=tuple(
            (call.id, call.name, call.arguments if call.arguments_error is None else _parsed(call.raw_arguments)) for call in message.tool_calls or ()
        ),
        finish=result.finish_reason,
        usage=(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) if usage is not None else None,
        failed=type(outcome.error).__name__ if outcome.error is not None else None,
    )


def _parsed(arguments: str | None) -> object:
    try:
        return json.loads(arguments or "")
    except ValueError:
        return arguments
