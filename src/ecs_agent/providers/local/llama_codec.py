"""llama.cpp's own server: the OpenAI chat protocol, and beside it a count of tokens that other servers of that protocol do not have."""

from __future__ import annotations

from typing import Any

from ecs_agent.providers.openai import OpenAIChatCodec
from ecs_agent.providers.protocol import ModelRequest
from ecs_agent.streaming.json_edge import is_object, whole_count
from ecs_agent.types import JsonObject


class LlamaServerCodec(OpenAIChatCodec):
    """The chat protocol with llama.cpp's count, which applies the model's own template and tokenizer to the request as it is."""

    def count_path(self, request: ModelRequest) -> str:  # noqa: ARG002 - other protocols have the model in it
        """Always the same."""
        return "/chat/completions/input_tokens"

    def count_body(self, request: ModelRequest) -> JsonObject:
        """The request itself."""
        return self.encode(request)

    def tokens_in(self, found: Any) -> int | None:
        """What stands under `input_tokens`."""
        return whole_count(found.get("input_tokens")) if is_object(found) else None
