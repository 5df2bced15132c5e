"""Usage in every protocol: all that is billed is counted once, the total is that of prompt and answer, and prices hold for each part."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from ecs_agent.providers import AnthropicProvider, GeminiProvider, OpenAIProvider, OpenAIResponsesProvider, Prices, cost_of
from ecs_agent.testing import Reply, ScriptedTransport, WireFamily, json_reply, scripted_reply
from ecs_agent.types import Message, Usage

HI: Final = [Message("user", "Hi")]

TOLD: Final[dict[WireFamily, tuple[str, dict[str, Any]]]] = {
    "openai-chat": (
        "usage",
        {
            "prompt_tokens": 1000,
            "completion_tokens": 300,
            "total_tokens": 1300,
            "prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 100, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 200},
        },
    ),
    "openai-responses": (
        "usage",
        {
            "input_tokens": 1000,
            "output_tokens": 300,
            "total_tokens": 1300,
            "input_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 100},
            "output_tokens_details": {"reasoning_tokens": 200},
        },
    ),
    "anthropic": (
        "usage",
        {
            "input_tokens": 300,
            "cache_read_input_tokens": 600,
            "cache_creation_input_tokens": 100,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 300,
            "output_tokens_details": {"thinking_tokens": 200},
        },
    ),
    "gemini": (
        "usageMetadata",
        {
            "promptTokenCount": 950,
            "toolUsePromptTokenCount": 50,
            "cachedContentTokenCount": 600,
            "candidatesTokenCount": 100,
            "thoughtsTokenCount": 200,
            "totalTokenCount": 1300,
        },
    ),
}
"""One and the same usage, in the words of each API: 1,000 tokens asked, 600 of them read from a cache and 100 written, 300 said, 200 of them thought."""

PROVIDERS: Final[dict[WireFamily, Callable[[ScriptedTransport], Any]]] = {
    "openai-chat": lambda transport: OpenAIProvider("k", transport.base_url, "m", transport=transport),
    "openai-responses": lambda transport: OpenAIResponsesProvider("k", transport.base_url, "m", transport=transport),
    "anthropic": lambda transport: AnthropicProvider("k", transport.base_url, "claude-opus-5", transport=transport),
    "gemini": lambda transport: GeminiProvider("k", transport.base_url, "gemini-3-flash", transport=transport),
}
PRICES: Final = Prices(prompt=10.0, completion=50.0, cached=1.0, cache_write=12.5)


def answer(wire: WireFamily) -> dict[str, Any]:
    (data,) = scripted_reply("Hello.", stream=False, wire=wire).pieces
    assert isinstance(data, bytes)
    name, told = TOLD[wire]
    body: dict[str, Any] = {**json.loads(data), name: told}
    return body


@pytest.mark.parametrize("wire", TOLD)
async def test_every_token_is_counted_once_and_has_its_price(wire: WireFamily) -> None:
    usage = (await PROVIDERS[wire](ScriptedTransport([json_reply(answer(wire))])).complete(HI)).usage
    assert usage is not None
    written = 100 if wire != "gemini" else None  # its caches write for nothing, and do not say how much
    assert usage == Usage(1000, 300, 1300, cached_tokens=600, reasoning_tokens=200, cache_write_tokens=written)
    assert usage.prompt_tokens + usage.completion_tokens == usage.total_tokens
    plain = 1000 - 600 - (written or 0)
    assert cost_of(usage, PRICES).usd == pytest.approx((plain * 10 + 600 * 1 + (written or 0) * 12.5 + 300 * 50) / 1e6)


async def test_what_anthropic_tells_at_the_beginning_and_at_the_end_is_not_summed() -> None:
    usage = TOLD["anthropic"][1]
    begun = {"id": "m", "type": "message", "role": "assistant", "content": [], "usage": {**usage, "output_tokens": 1}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hello."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
        {"type": "message_stop"},
    ]
    body = Reply([f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events])
    stream = await PROVIDERS["anthropic"](ScriptedTransport([body])).complete(HI, stream=True)
    async for _ in stream:
        pass
    assert stream.result().usage == Usage(1000, 300, 1300, 600, 200, cache_write_tokens=100)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_scripted_server_of_anthropics_tells_what_was_written_to_the_cache(stream: bool) -> None:
    told = Usage(1000, 300, 1300, cached_tokens=600, cache_write_tokens=100)
    found: Any = await PROVIDERS["anthropic"](ScriptedTransport([["Hello.", told]])).complete(HI, stream=stream)
    if stream:
        _ = [delta async for delta in found]
        found = found.result()
    assert found.usage == told
