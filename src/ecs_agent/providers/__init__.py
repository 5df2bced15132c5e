"""Providers: whom an agent asks."""

from ecs_agent.providers.anthropic import AnthropicProvider, ClaudeProvider
from ecs_agent.providers.cached import CachedProvider
from ecs_agent.providers.capabilities import Capabilities, capabilities_of
from ecs_agent.providers.cassette import Cassette
from ecs_agent.providers.embedding import EmbeddingProvider, EmbeddingResult, Vector, cosine_similarity
from ecs_agent.providers.fake import FakeProvider
from ecs_agent.providers.fake_embeddings import EmbeddingRequest, FakeEmbeddingProvider
from ecs_agent.providers.fallback import FallbackProvider
from ecs_agent.providers.gemini import GeminiProvider
from ecs_agent.providers.instrumented import CallHooks, InstrumentedProvider, ProviderCall
from ecs_agent.providers.local import LocalProvider
from ecs_agent.providers.local_embeddings import LocalEmbeddingProvider
from ecs_agent.providers.model_pool import ModelPool
from ecs_agent.providers.openai import OpenAIProvider
from ecs_agent.providers.openai_embeddings import OpenAIEmbeddingProvider
from ecs_agent.providers.openai_responses_provider import OpenAIResponsesProvider
from ecs_agent.providers.presets import PRESETS, Preset, capability_table
from ecs_agent.providers.prices import Cost, Prices, PriceTier, cost_of, prices_of
from ecs_agent.providers.protocol import LLMProvider, ModelOptions, ModelRequest, ProviderLike, RequestOptions
from ecs_agent.providers.rate_limited import RateLimitedProvider
from ecs_agent.providers.recording import RecordingProvider, RecordingTransport
from ecs_agent.providers.registry import ModelRegistry, resolve_model
from ecs_agent.providers.replay import ReplayProvider, ReplayTransport
from ecs_agent.providers.response_format import pydantic_to_response_format, response_format_of
from ecs_agent.providers.retry import RetryProvider
from ecs_agent.providers.script import Answer, Piece, Script, Step
from ecs_agent.providers.secret import Secret
from ecs_agent.providers.stream_object import ObjectStream, stream_object
from ecs_agent.providers.token_count import TokenCount, TokenCounter, count_tokens
from ecs_agent.providers.token_estimate import estimate_tokens, estimate_usage
from ecs_agent.providers.transport import Transport, TransportRequest, TransportResponse
from ecs_agent.providers.wrapping import WrapperProvider

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
