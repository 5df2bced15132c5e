"""WrapperProvider: stands before another provider; and what else providers share that stand before others.

A wrapper offers what every provider offers, method by method, and nothing by `__getattr__`: a method that were handed on unseen would pass by what
the wrapper is there for (a limit, a record), and no type checker would know of it. So a method that all providers get is written here once,
and whatever only one kind of provider has is reached through `provider`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, Self, Unpack, overload

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.calling import accepted, as_stream, ask
from ecs_agent.providers.capabilities import Capabilities, capabilities_of
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.providers.structured.parsing import asked_format, with_parsed
from ecs_agent.providers.token_count import TokenCount, count_tokens
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.types import CompletionResult, Message, ToolSchema

NOTHING_SENT: Final = (UnsupportedFeatureError, TypeError)
"""What a provider raises of a request that it does not send."""


class WrapperProvider:
    """Stands before a provider and changes nothing.

    A subclass overrides `_whole`, `_stream` or both, and asks the wrapped provider by `super()`. Whatever that one is, ours or anybody's, it is
    called with only the options that it takes, and its stream is a `CompletionStream`: the very one that it returned, if it was one. A class that is
    asked for as `response_format` is dealt with here: what a subclass sees of it is its wire object.

    Args:
        provider: whom to ask.

    Raises:
        TypeError: it is no provider.
    """

    def __init__(self, provider: ProviderLike) -> None:
        self.provider = check_provider(provider)

    @property
    def name(self) -> str:
        """The wrapped provider's name."""
        return name_of(self.provider)

    @property
    def model(self) -> str:
        """The wrapped provider's model."""
        return model_of(self.provider)

    @property
    def capabilities(self) -> Capabilities:
        """The wrapped provider's."""
        return capabilities_of(self.provider)

    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[False] = False, **options: Unpack[RequestOptions]) -> CompletionResult: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[True], **options: Unpack[RequestOptions]) -> CompletionStream: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: bool, **options: Unpack[RequestOptions]) -> CompletionResult | CompletionStream: ...
    async def complete(
        self, messages: Sequence[Message], stream: bool = False, **options: Unpack[RequestOptions]
    ) -> CompletionResult | CompletionStream:
        """Ask the wrapped provider; see the class for what comes between.

        Raises:
            ProviderError: as the wrapped provider.
            StructuredOutputError: the answer is no instance of the class given as `response_format`.
        """
        if stream:
            return await self._stream(messages, options)
        asked = options.get("response_format")
        return with_parsed(await self._whole(messages, asked_format(options, self.capabilities)), asked)

    async def count_tokens(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSchema] | None = None, system_prompt: str = "", model: str | None = None
    ) -> TokenCount:
        """As the wrapped provider counts; see `ecs_agent.providers.count_tokens`.

        Raises:
            ProviderError: the provider could not count.
        """
        return await count_tokens(self.provider, messages, tools=tools, system_prompt=system_prompt, model=model)

    async def _whole(self, messages: Sequence[Message], options: RequestOptions) -> CompletionResult:
        """Ask for a whole answer."""
        return await ask(self.provider, messages, options)

    async def _stream(self, messages: Sequence[Message], options: RequestOptions) -> CompletionStream:
        """Ask for a stream."""
        return await stream_of(self.provider, messages, options)

    async def aclose(self) -> None:
        """Close the wrapped provider, if it can be closed."""
        await close(self.provider)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.provider!r})"


def check_provider(provider: ProviderLike) -> ProviderLike:
    """The same.

    Raises:
        TypeError: it is no provider.
    """
    if isinstance(provider, type):
        raise TypeError(f"the class {provider.__name__} is no provider; give an instance of it: {provider.__name__}(…)")
    if isinstance(provider, str):
        raise TypeError("a str is no provider: it has no method complete(); give resolve_model('service/model')")
    if not callable(getattr(provider, "complete", None)):
        raise TypeError(f"a {type(provider).__name__} is no provider: it has no method complete(); give one, such as OpenAIProvider(model='…')")
    return provider


def name_of(provider: object) -> str:
    """What a provider calls itself, else its class."""
    return str(getattr(provider, "name", "") or type(provider).__name__)


def model_of(provider: object) -> str:
    """The model a provider asks when a request names none; "" when it does not say."""
    return str(getattr(provider, "model", "") or "")


def address_of(provider: object) -> str:
    """Where a provider asks, through those that stand before it; "" when it does not say."""
    while not (address := getattr(provider, "base_url", "")) and (behind := getattr(provider, "provider", None)) is not None:
        provider = behind
    return str(address or "")


async def stream_of(provider: ProviderLike, messages: Sequence[Message], options: RequestOptions) -> CompletionStream:
    """Ask for a stream.

    Raises:
        ProviderError: the provider refused.
        TypeError: the provider returned something that is no answer.
    """
    answer: object = await provider.complete(messages, stream=True, **accepted(provider, options))
    return as_stream(answer, provider)


async def close(provider: object) -> None:
    """Close a provider, if it can be closed."""
    aclose = getattr(provider, "aclose", None)
    if aclose is not None:
        await aclose()
