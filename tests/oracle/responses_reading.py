"""One answer of the Responses protocol as two clients read it: the official SDK's own accumulator, and ours."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from typing import Any

import httpx2
from openai import AsyncOpenAI
from tests.oracle.reading import Reading, read_by_us
from tests.providers.wire import Outcome

from ecs_agent.types import OpaquePart

WORDS = {"max_output_tokens": "length", "content_filter": "content_filter"}


async def read_response_by_sdk(body: bytes, content_type: str = "text/event-stream", status: int = 200, *, stream: bool = True) -> Reading:
    """Let the SDK's client read a body from a transport that needs no network."""

    def answer(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"content-type": content_type}, content=body)

    transport = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    async with AsyncOpenAI(api_key="none", base_url="http://oracle.invalid/v1", max_retries=0, http_client=transport) as client:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its models warn of words that are newer than they are
            return await (_streamed(client) if stream else _whole(client))


async def _streamed(client: AsyncOpenAI) -> Reading:
    """What the accumulator holds in the end; after a failure the texts that its events had told."""
    texts = {"response.output_text.delta": "", "response.refusal.delta": ""}
    last: Any = None
    failed = None
    try:
        async with client.responses.stream(model="m", input="?") as stream:
            event: Any
            async for event in stream:
                if event.type in texts:
                    texts[event.type] += event.delta
                if event.type in ("response.completed", "response.incomplete", "response.failed"):
                    last = event.response
                if event.type == "error":
                    failed = "error"
    except Exception as error:  # noqa: BLE001 - any failure of the SDK is what it says about the body
        failed = type(error).__name__
    if last is None or last.status == "failed":
        return Reading(text=texts["response.output_text.delta"], refusal=texts["response.refusal.delta"], failed=failed or "failed")
    return replace(_told(last), failed=failed)


async def _whole(client: AsyncOpenAI) -> Reading:
    try:
        return _told(await client.responses.create(model="m", input="?"))
    except Exception as error:  # noqa: BLE001 - any failure of the SDK is what it says about the body
        return Reading(failed=type(error).__name__)


def _told(response: Any) -> Reading:
    items = response.output
    parts = [part for item in items if item.type == "message" for part in item.content]
    calls = tuple((item.call_id, item.name, _parsed(item.arguments)) for item in items if item.type == "function_call")
    finish = ("tool_calls" if calls else "stop") if response.status == "completed" else WORDS.get(response.incomplete_details.reason)
    usage = response.usage
    return Reading(
        text="".join(part.text for part in parts if part.type == "output_text"),
        refusal="".join(part.refusal for part in parts if part.type == "refusal"),
        reasoning="\n\n".join(_thoughts(items)),
        calls=calls,
        finish=finish,
        usage=(usage.input_tokens, usage.output_tokens, usage.total_tokens) if usage is not None else None,
    )


def _thoughts(items: list[Any]) -> list[str]:
    found: list[str] = []
    for item in items:
        if item.type == "reasoning":
            found += [part.text for part in item.summary] or ["".join(part.text for part in item.content or ())]
    return [text for text in found if text]


def read_response_by_us(outcome: Outcome) -> Reading:
    """What our decoder and fold made of a body; after a failure only the texts are compared."""
    told = read_by_us(outcome)
    return Reading(text=told.text, refusal=told.refusal, failed=told.failed) if told.failed else told


def kept_items(outcome: Outcome) -> list[tuple[str, str | None]]:
    """The items that are kept to be sent back."""
    kept = [part.data for part in outcome.result.message.parts if isinstance(part, OpaquePart)]
    return [(data["type"], data.get("id")) for data in kept if data["type"] != "message"]


def sent_items(body: bytes) -> list[tuple[str, str | None]]:
    """The same, as the final response of a body lists them."""
    lines = [line[5:] for line in body.decode().splitlines() if line.startswith("data:") and '"response.completed"' in line]
    items = json.loads(lines[-1])["response"]["output"]
    return [(item["type"], item.get("id")) for item in items if item["type"] not in ("message", "function_call")]


def _parsed(arguments: str | None) -> object:
    try:
        return json.loads(arguments) if arguments is not None else None
    except ValueError:
        return arguments
