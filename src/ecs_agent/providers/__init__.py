"""Providers: whom an agent asks.

The names below are loaded when they are first used: an agent has one provider, and need not wait for the others.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecs_agent.providers.anthropic import AnthropicProvider, ClaudeProvider
    from ecs_agent.providers.cached import CachedProvider
    from ecs_agent.providers.capabilities import Capabilities, capabilities_of
    from ecs_agent.providers.embeddings.fake import EmbeddingRequest, FakeEmbeddingProvider
    from ecs_agent.providers.embeddings.local import LocalEmbeddingProvider
    from ecs_agent.providers.embeddings.openai import OpenAIEmbeddingProvider
    from ecs_agent.providers.embeddings.protocol import EmbeddingProvider, EmbeddingResult, Vector, cosine_similarity
    from ecs_agent.providers.fake import FakeProvider
    from ecs_agent.providers.fallback import FallbackProvider
    from ecs_agent.providers.gemini import GeminiProvider
    from ecs_agent.providers.instrumented import CallHooks, InstrumentedProvider, ProviderCall
    from ecs_agent.providers.local.provider import LocalProvider
    from ecs_agent.providers.model_pool import ModelPool
    from ecs_agent.providers.openai import OpenAIProvider
    from ecs_agent.providers.openai_responses_provider import OpenAIResponsesProvider
    from ecs_agent.providers.presets import PRESETS, Preset, capability_table
    from ecs_agent.providers.prices import Cost, Prices, PriceTier, cost_of, prices_of
    from ecs_agent.providers.protocol import LLMProvider, ModelOptions, ModelRequest, ProviderLike, RequestOptions
    from ecs_agent.providers.rate_limited import RateLimitedProvider
    from ecs_agent.providers.recorded.cassette import Cassette
    from ecs_agent.providers.recorded.recording import RecordingProvider, RecordingTransport
    from ecs_agent.providers.recorded.replay import ReplayProvider, ReplayTransport
    from ecs_agent.providers.registry import ModelRegistry, resolve_model
    from ecs_agent.providers.retry import RetryProvider
    from ecs_agent.providers.script import Answer, Piece, Script, Step
    from ecs_agent.providers.secret import Secret
    from ecs_agent.providers.structured.response_format import pydantic_to_response_format, response_format_of
    from ecs_agent.providers.structured.stream_object import ObjectStream, stream_object
    from ecs_agent.providers.token_count import TokenCount, TokenCounter, count_tokens
    from ecs_agent.providers.token_estimate import estimate_tokens, estimate_usage
    from ecs_agent.providers.transport import Transport, TransportRequest, TransportResponse
    from ecs_agent.providers.wrapping import WrapperProvider

_HOME = {
    "Answer": "script",
    "AnthropicProvider": "anthropic",
    "CachedProvider": "cached",
    "CallHooks": "instrumented",
    "Capabilities": "capabilities",
    "Cassette": "recorded.cassette",
    "ClaudeProvider": "anthropic",
    "Cost": "prices",
    "EmbeddingProvider": "embeddings.protocol",
    "EmbeddingRequest": "embeddings.fake",
    "EmbeddingResult": "embeddings.protocol",
    "FakeEmbeddingProvider": "embeddings.fake",
    "FakeProvider": "fake",
    "FallbackProvider": "fallback",
    "GeminiProvider": "gemini",
    "InstrumentedProvider": "instrumented",
    "LLMProvider": "protocol",
    "LocalEmbeddingProvider": "embeddings.local",
    "LocalProvider": "local.provider",
    "ModelOptions": "protocol",
    "ModelPool": "model_pool",
    "ModelRegistry": "registry",
    "ModelRequest": "protocol",
    "ObjectStream": "structured.stream_object",
    "OpenAIEmbeddingProvider": "embeddings.openai",
    "OpenAIProvider": "openai",
    "OpenAIResponsesProvider": "openai_responses_provider",
    "PRESETS": "presets",
    "Piece": "script",
    "Preset": "presets",
    "PriceTier": "prices",
    "Prices": "prices",
    "ProviderCall": "instrumented",
    "ProviderLike": "protocol",
    "RateLimitedProvider": "rate_limited",
    "RecordingProvider": "recorded.recording",
    "RecordingTransport": "recorded.recording",
    "ReplayProvider": "recorded.replay",
    "ReplayTransport": "recorded.replay",
    "RequestOptions": "protocol",
    "RetryProvider": "retry",
    "Script": "script",
    "Secret": "secret",
    "Step": "script",
    "TokenCount": "token_count",
    "TokenCounter": "token_count",
    "Transport": "transport",
    "TransportRequest": "transport",
    "TransportResponse": "transport",
    "Vector": "embeddings.protocol",
    "WrapperProvider": "wrapping",
    "capabilities_of": "capabilities",
    "capability_table": "presets",
    "cosine_similarity": "embeddings.protocol",
    "cost_of": "prices",
    "count_tokens": "token_count",
    "estimate_tokens": "token_estimate",
    "estimate_usage": "token_estimate",
    "prices_of": "prices",
    "pydantic_to_response_format": "structured.response_format",
    "resolve_model": "registry",
    "response_format_of": "structured.response_format",
    "stream_object": "structured.stream_object",
}

__all__ = [
    "PRESETS",
    "Answer",
    "AnthropicProvider",
    "CachedProvider",
    "CallHooks",
    "Capabilities",
    "Cassette",
    "ClaudeProvider",
    "Cost",
    "EmbeddingProvider",
    "EmbeddingRequest",
    "EmbeddingResult",
    "FakeEmbeddingProvider",
    "FakeProvider",
    "FallbackProvider",
    "GeminiProvider",
    "InstrumentedProvider",
    "LLMProvider",
    "LocalEmbeddingProvider",
    "LocalProvider",
    "ModelOptions",
    "ModelPool",
    "ModelRegistry",
    "ModelRequest",
    "ObjectStream",
    "OpenAIEmbeddingProvider",
    "OpenAIProvider",
    "OpenAIResponsesProvider",
    "Piece",
    "Preset",
    "PriceTier",
    "Prices",
    "ProviderCall",
    "ProviderLike",
    "RateLimitedProvider",
    "RecordingProvider",
    "RecordingTransport",
    "ReplayProvider",
    "ReplayTransport",
    "RequestOptions",
    "RetryProvider",
    "Script",
    "Secret",
    "Step",
    "TokenCount",
    "TokenCounter",
    "Transport",
    "TransportRequest",
    "TransportResponse",
    "Vector",
    "WrapperProvider",
    "capabilities_of",
    "capability_table",
    "cosine_similarity",
    "cost_of",
    "count_tokens",
    "estimate_tokens",
    "estimate_usage",
    "prices_of",
    "pydantic_to_response_format",
    "resolve_model",
    "response_format_of",
    "stream_object",
]


if not TYPE_CHECKING:  # to a type checker a name that is not above does not exist

    def __getattr__(name: str) -> object:
        home = _HOME.get(name)
        if home is None:
            raise AttributeError(f"module 'ecs_agent.providers' has no attribute {name!r}")
        value = getattr(import_module(f"ecs_agent.providers.{home}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
