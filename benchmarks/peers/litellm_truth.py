"""litellm: a completion of an OpenAI-compatible server, streamed; by its Router where it is to ask again, with a fallback that goes on in mid-stream,
which is off by default.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litellm import Router, acompletion  # type: ignore[import-not-found]  # stands in an environment of its own

from benchmarks.truth.scene import CANCELLED, SCHEMA, WHOLE, Scene, Screen, Used


class Client:
    """Completions, whose history and tools are left to the caller."""

    runs: list[str] | None = None

    def __init__(self, scene: Scene) -> None:
        server = {"model": "openai/bench", "api_base": scene.base_url, "api_key": "bench"}
        self._options: dict[str, Any] = {"tools": [SCHEMA]} if scene.tool else {}
        if scene.retry:
            info = {"supports_assistant_prefill": True}
            models = [{"model_name": name, "litellm_params": server, "model_info": info} for name in ("first", "second")]
            router = Router(models, fallbacks=[{"first": ["second"]}], num_retries=2, retry_after=0, enable_mid_stream_fallback_continuation=True)
            self._complete, self._options = router.acompletion, {**self._options, "model": "first"}
        else:
            self._complete, self._options = acompletion, {**self._options, **server}
        self._usage: int | None = None

    async def ask(self, question: str, screen: Screen) -> str:
        self._usage = None
        messages = [{"role": "user", "content": question}]
        stream = await self._complete(messages=messages, stream=True, stream_options={"include_usage": True}, **self._options)
        async for chunk in stream:
            usage = getattr(chunk, "usage", None)
            if usage is not None:
                self._usage = usage.total_tokens
            if chunk.choices and chunk.choices[0].delta.content and screen.take(chunk.choices[0].delta.content):
                await stream.aclose()
                return CANCELLED
        return WHOLE

    async def history(self) -> None:
        """There is none."""

    def used(self) -> Used:
        return Used(self._usage)


@asynccontextmanager
async def connect(scene: Scene) -> AsyncIterator[Client]:
    yield Client(scene)
