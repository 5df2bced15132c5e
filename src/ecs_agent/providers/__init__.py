"""Providers: whom an agent asks."""

from ecs_agent.providers.fake import FakeProvider
from ecs_agent.providers.local import LocalProvider
from ecs_agent.providers.openai import OpenAIProvider
from ecs_agent.providers.protocol import LLMProvider, ModelOptions, ModelRequest, ProviderLike, RequestOptions
from ecs_agent.providers.response_format import pydantic_to_response_format
from ecs_agent.providers.retry import RetryProvider
from ecs_agent.providers.script import Answer, Piece, Script, Step
from ecs_agent.providers.secret import Secret
from ecs_agent.providers.transport import Transport, TransportRequest, TransportResponse

__all__ = [
    "Answer",
    "FakeProvider",
    "LLMProvider",
    "LocalProvider",
    "ModelOptions",
    "ModelRequest",
    "OpenAIProvider",
    "Piece",
    "ProviderLike",
    "RequestOptions",
    "RetryProvider",
    "Script",
    "Secret",
    "Step",
    "Transport",
    "TransportRequest",
    "TransportResponse",
    "pydantic_to_response_format",
]
