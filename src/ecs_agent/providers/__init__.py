"""Providers: whom an agent asks."""

from ecs_agent.providers.capabilities import Capabilities, capabilities_of
from ecs_agent.providers.cassette import Cassette
from ecs_agent.providers.fake import FakeProvider
from ecs_agent.providers.fallback import FallbackProvider
from ecs_agent.providers.local import LocalProvider
from ecs_agent.providers.openai import OpenAIProvider
from ecs_agent.providers.openai_responses_provider import OpenAIResponsesProvider
from ecs_agent.providers.protocol import LLMProvider, ModelOptions, ModelRequest, ProviderLike, RequestOptions
from ecs_agent.providers.recording import RecordingProvider, RecordingTransport
from ecs_agent.providers.replay import ReplayProvider, ReplayTransport
from ecs_agent.providers.response_format import pydantic_to_response_format
from ecs_agent.providers.retry import RetryProvider
from ecs_agent.providers.script import Answer, Piece, Script, Step
from ecs_agent.providers.secret import Secret
from ecs_agent.providers.token_estimate import estimate_tokens, estimate_usage
from ecs_agent.providers.transport import Transport, TransportRequest, TransportResponse

__all__ = [
    "Answer",
    "Capabilities",
    "Cassette",
    "FakeProvider",
    "FallbackProvider",
    "LLMProvider",
    "LocalProvider",
    "ModelOptions",
    "ModelRequest",
    "OpenAIProvider",
    "OpenAIResponsesProvider",
    "Piece",
    "ProviderLike",
    "RecordingProvider",
    "RecordingTransport",
    "ReplayProvider",
    "ReplayTransport",
    "RequestOptions",
    "RetryProvider",
    "Script",
    "Secret",
    "Step",
    "Transport",
    "TransportRequest",
    "TransportResponse",
    "capabilities_of",
    "estimate_tokens",
    "estimate_usage",
    "pydantic_to_response_format",
]
