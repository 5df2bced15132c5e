"""The one thing an agent needs of a provider: `complete()`.

Any object with this method is a provider; nothing has to be inherited. Options that a provider does not know it refuses or ignores by its
own rules; ours refuse unknown names, so that a typing mistake is not silently a default.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypedDict, Unpack, overload, runtime_checkable

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.message_values import check_parts
from ecs_agent.providers.option_values import check_values
from ecs_agent.types import CompletionResult, JsonObject, Message, StreamDelta, ToolSchema

if TYPE_CHECKING:
    from pydantic import BaseModel


class ModelOptions(TypedDict, total=False):
    """How a model is to answer. An option that is not given is not sent.

    `tool_choice` is "auto", "none", "required" or the name of a tool. `response_format` asks for a structured answer and cannot be combined with
    streaming: a pydantic class, of which the result then holds an instance (`parsed`), or a wire object
    (`{"type": "json_schema", "json_schema": {"name", "schema", "strict"}}`). `output_format` is such a wire object that is allowed in streams;
    `stream_object` sets it, and without that nobody checks what comes. `logprobs` asks for the probability of each token, `top_logprobs` for so
    many of the likeliest ones beside it. `extra_body` is merged into the request's JSON last, `extra_headers` into its headers. The timeouts, in
    seconds, replace the provider's own for this request; None means no limit.
    """

    tool_choice: str | None
    parallel_tool_calls: bool | None
    response_format: JsonObject | type[BaseModel] | None
    output_format: JsonObject | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: str | Sequence[str] | None
    seed: int | None
    logit_bias: Mapping[str, float] | None
    metadata: Mapping[str, str] | None
    reasoning_effort: str | None
    logprobs: bool | None
    top_logprobs: int | None
    extra_body: JsonObject | None
    extra_headers: Mapping[str, str] | None
    read_timeout: float | None
    first_delta_timeout: float | None
    total_timeout: float | None


class RequestOptions(ModelOptions, total=False):
    """What may be asked of a model beside the conversation: `model` replaces the provider's own, `tools` are those it may call."""

    model: str | None
    tools: Sequence[ToolSchema] | None


KNOWN_OPTIONS: Final = frozenset(RequestOptions.__optional_keys__)
TIME_LIMITS: Final = frozenset({"read_timeout", "first_delta_timeout", "total_timeout"})
"""Options of which None says something: that there is no limit."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """Everything a codec needs to write a request."""

    model: str
    messages: Sequence[Message]
    stream: bool = False
    options: RequestOptions = field(default_factory=RequestOptions)


class ProviderLike(Protocol):
    """The least an agent needs: an object with an async `complete(messages, stream=…)` that takes what options it likes.

    Agents ask it through `ecs_agent.providers.calling`, which leaves out options that it does not take and accepts whatever form its answer has.
    """

    @property
    def complete(self) -> Callable[..., Awaitable[CompletionResult | AsyncIterator[StreamDelta]]]:
        """Ask the model."""
        ...


@runtime_checkable
class LLMProvider(Protocol):
    """Asks a model.

    `complete(messages)` returns the whole answer; `complete(messages, stream=True)` sends the request, checks status and headers, and returns
    an async iterator of deltas, which is a `CompletionStream` in all providers of this package.

    Raises:
        ProviderError: the request was refused (from the call) or the answer broke off (from the iteration).
        UnsupportedFeatureError: `stream=True` together with `response_format`, before anything is sent.
    """

    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[False] = False, **options: Unpack[RequestOptions]) -> CompletionResult: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[True], **options: Unpack[RequestOptions]) -> AsyncIterator[StreamDelta]: ...
    @overload
    async def complete(
        self, messages: Sequence[Message], stream: bool, **options: Unpack[RequestOptions]
    ) -> CompletionResult | AsyncIterator[StreamDelta]: ...
    async def complete(
        self, messages: Sequence[Message], stream: bool = False, **options: Unpack[RequestOptions]
    ) -> CompletionResult | AsyncIterator[StreamDelta]:
        """Ask the model; see the class."""
        ...


def check_options(options: RequestOptions, stream: bool) -> None:
    """Whether a provider of this package can be asked so.

    Raises:
        TypeError: there is no such option, or a value is none for its option.
        ValueError: a number is infinite or none, or `tool_choice` names a tool that the request does not have.
        UnsupportedFeatureError: `response_format` in a stream.
    """
    unknown = [name for name in options if name not in KNOWN_OPTIONS]
    if unknown:
        raise TypeError(f"complete() has no option {unknown[0]!r}; there are: {', '.join(sorted(KNOWN_OPTIONS))}")
    if stream and options.get("response_format") is not None:
        raise UnsupportedFeatureError("response_format cannot be streamed; ask with stream=False, or use stream_object()")
    check_values(options)


def checked_messages(messages: Sequence[Message]) -> Sequence[Message]:
    """The same, as it is easily another form of a conversation.

    Raises:
        TypeError: it is no sequence of `Message`, or bytes in it are given as something else.
        ValueError: an image or a file is nowhere, or an image is in two places.
    """
    given: object = messages
    if not isinstance(given, Iterable):
        raise TypeError(f"messages is a {type(given).__name__}; give a list of Message, such as [Message('user', 'Hello')]")
    entries: Sequence[object] = messages
    wrong = entries if isinstance(entries, str) else next((entry for entry in entries if not isinstance(entry, Message)), None)
    if wrong is not None:
        raise TypeError(f"messages holds a {type(wrong).__name__}; give a list of Message, such as [Message('user', 'Hello')]")
    for message in messages:
        check_parts(message)
    return messages
