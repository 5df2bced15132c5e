"""Every exception this package raises on purpose.

    EcsAgentError
    ├── ProviderError                 a model was asked and did not answer well; see `kind`
    │   ├── AuthenticationError         auth                401, 403, 407: the key is wrong, missing or not allowed
    │   ├── BadRequestError             bad_request         400, 404, 405, 413, 422: the request is wrong (unknown model, bad option)
    │   ├── ContextLengthError          context_length      the conversation is longer than the model's context
    │   ├── ContentFilterError          content_filter      the provider refused before any output
    │   ├── RateLimitError              rate_limit          429: too many requests; `retry_after` says how long to wait
    │   ├── QuotaError                  quota               402, insufficient_quota: paying helps, waiting does not
    │   ├── ServerError                 server              5xx, 529: the provider failed
    │   ├── ProviderConnectionError     connection          DNS, TLS, refused, reset before headers   (also a ConnectionError)
    │   ├── ProviderTimeoutError        timeout             408 and our own limits                    (also a TimeoutError)
    │   ├── StreamInterruptedError      stream_interrupted  the connection was lost after the headers
    │   └── MalformedResponseError      malformed           the body is not what the protocol says
    ├── ProviderExhaustedError        a scripted provider has no answer left      (also an IndexError)
    ├── UnsupportedFeatureError       what was asked for cannot be combined       (also a ValueError)
    ├── StructuredOutputError         an answer is not the object that was asked for (also a ValueError)
    ├── ConfigurationError            a key, an extra, a file or an option is missing or wrong
    ├── ToolError
    │   ├── ToolDefinitionError         a function cannot be a tool               (also a TypeError)
    │   ├── ToolArgumentsError          the model's arguments do not fit the schema
    │   ├── UnknownToolError            the model asked for a tool that does not exist
    │   └── ToolTimeoutError            a tool took longer than its limit         (also a TimeoutError)
    ├── StoreError                    saved state cannot be written or read
    │   ├── JournalError                the disk is full or failed; what was committed before is kept
    │   ├── StoreFormatError            not a store of ours, a damaged one, or one of a newer version (also a ValueError)
    │   ├── StoreInUseError             another process, or another world, has the store open
    │   ├── UnsavableError              a component holds what is no data             (also a TypeError)
    │   ├── MissingReferencesError      providers or tools that a saved world names were not given (also a LookupError)
    │   ├── NoHistoryError              the world keeps no history, or not so far back (also a LookupError)
    │   ├── RecordingMissError          a recording has no answer to this request     (also a LookupError)
    │   └── DivergenceError             a program did something else than its recording
    └── WorldError
        ├── WorldBusyError              a run or a tick is already active
        ├── WorldClosedError            the world was closed
        ├── EntityNotFoundError         no such entity, or it was deleted         (also a KeyError)
        ├── DepthLimitError             too many levels of sub-agents
        ├── ForeignWriteError           a system changed another entity           (checked mode only)
        ├── InboxFullError              a receiver has not taken its letters
        ├── LeaseRevokedError           a call that was cancelled tried to write
        ├── LoopRunningError            run_sync inside a running loop            (also a RuntimeError)
        ├── RequestsFullError           too many changes were asked of one entity
        ├── RunEndedError               an agent's run ended before its answer was complete
        ├── SystemDefinitionError       a system's signature cannot be a query    (also a TypeError)
        ├── NoProgressError             a system's `when` stays true and nothing changes
        ├── LogTruncatedError           a position that the log no longer holds   (also a LookupError)
        ├── CircularParentError         an entity would be its own ancestor       (also a ValueError)
        └── DuplicateComponentError     two components of one type for an entity  (also a ValueError)

What to write around a stream:

    try:
        async with await provider.complete(messages, stream=True) as stream:
            async for delta in stream:
                ...
    except RateLimitError as error:
        ...  # error.retry_after seconds
    except ProviderError as error:
        ...  # str(error) says what to do; error.partial is what had arrived
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum, unique
from typing import ClassVar

from ecs_agent.types import CompletionResult


class EcsAgentError(Exception):
    """Root of all errors of this package."""


@unique
class ErrorKind(StrEnum):
    """The eleven ways in which asking a model fails; each has one leaf of the tree."""

    AUTH = "auth"
    BAD_REQUEST = "bad_request"
    CONTEXT_LENGTH = "context_length"
    CONTENT_FILTER = "content_filter"
    RATE_LIMIT = "rate_limit"
    QUOTA = "quota"
    SERVER = "server"
    CONNECTION = "connection"
    TIMEOUT = "timeout"
    STREAM_INTERRUPTED = "stream_interrupted"
    MALFORMED = "malformed"


class ProviderError(EcsAgentError):
    """A model was asked and did not answer well.

    Catch a leaf to react to one kind, or this class and look at `kind`. The message is one sentence for people: what happened, what to do.
    It never holds a key; bodies in it are shortened.

    Attributes:
        kind: which way it failed.
        status: the HTTP status, None when there was none.
        retryable: asking again later may help. An answer that had begun is never retried by a provider.
        retry_after: seconds the server asked to wait, None when it did not say.
        request_id: the provider's id of the request, to quote to its support.
        provider: which provider object failed (its `name`).
        model: the model that was asked.
        partial: what had arrived before it failed, None when nothing could have.
    """

    kind: ClassVar[ErrorKind]
    retryable_by_default: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        partial: CompletionResult | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retryable = self.retryable_by_default if retryable is None else retryable
        self.retry_after = retry_after
        self.request_id = request_id
        self.provider = provider
        self.model = model
        self.partial = partial


class AuthenticationError(ProviderError):
    """The key is wrong, missing, or not allowed to do this."""

    kind = ErrorKind.AUTH


class BadRequestError(ProviderError):
    """The request is wrong: an unknown model, an unknown option, a malformed conversation."""

    kind = ErrorKind.BAD_REQUEST


class ContextLengthError(ProviderError):
    """The conversation is longer than the model's context."""

    kind = ErrorKind.CONTEXT_LENGTH


class ContentFilterError(ProviderError):
    """The provider's filter refused before any output; midway it is a finish reason instead."""

    kind = ErrorKind.CONTENT_FILTER


class RateLimitError(ProviderError):
    """Too many requests; `retry_after` says how long to wait."""

    kind = ErrorKind.RATE_LIMIT
    retryable_by_default = True


class QuotaError(ProviderError):
    """The account has no credit left: paying helps, waiting does not."""

    kind = ErrorKind.QUOTA


class ServerError(ProviderError):
    """The provider failed or is overloaded."""

    kind = ErrorKind.SERVER
    retryable_by_default = True


class ProviderConnectionError(ProviderError, ConnectionError):
    """No answer at all: name resolution, TLS, a refused connection, or a reset before the headers."""

    kind = ErrorKind.CONNECTION
    retryable_by_default = True


class ProviderTimeoutError(ProviderError, TimeoutError):
    """The server was silent, or took, longer than a limit of ours, or said so itself (408)."""

    kind = ErrorKind.TIMEOUT
    retryable_by_default = True


class StreamInterruptedError(ProviderError):
    """The connection was lost, or the body ended, before the answer did; `partial` holds what had arrived."""

    kind = ErrorKind.STREAM_INTERRUPTED
    retryable_by_default = True


class MalformedResponseError(ProviderError):
    """The body is not what the protocol says, as when a proxy answers with a page of its own."""

    kind = ErrorKind.MALFORMED


class ProviderExhaustedError(EcsAgentError, IndexError):
    """A scripted provider has no answer left; it ends its agent with the reason "provider_exhausted"."""


class UnsupportedFeatureError(EcsAgentError, ValueError):
    """What was asked for cannot be done or combined here; raised before anything was sent."""


class StructuredOutputError(EcsAgentError, ValueError):
    """An answer is not the object that was asked for: it was refused, was cut, has no text, or its JSON does not fit the model.

    It is no `ProviderError`: the provider answered, and asking it the same again costs as much. The message never holds a value of the answer
    that it does not need, nor what looks like a key, and it is bounded.

    Attributes:
        result: the answer, None when it is not known.
        problems: what is wrong, a sentence each: the path of a value and what it should be.
    """

    def __init__(self, message: str, *, result: CompletionResult | None = None, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.result = result
        self.problems = tuple(problems)


class ConfigurationError(EcsAgentError):
    """A key, an extra, a file or an option is missing or wrong; the message names the command or variable that mends it."""


class ToolError(EcsAgentError):
    """Root of what can go wrong with tools."""


class ToolDefinitionError(ToolError, TypeError):
    """A function cannot be a tool: a missing type hint, a bad name, a name used twice."""


class ToolArgumentsError(ToolError):
    """The model's arguments are not JSON or do not fit the tool's schema; the tool was not run."""


class UnknownToolError(ToolError):
    """The model asked for a tool that its agent does not have."""


class ToolTimeoutError(ToolError, TimeoutError):
    """A tool took longer than its limit; its result, if it ever comes, is dropped."""


class WorldError(EcsAgentError):
    """Root of what can go wrong in the kernel."""


class WorldBusyError(WorldError):
    """A run or a tick is already active in this world."""


class WorldClosedError(WorldError):
    """The world was closed; nothing can be added to it."""


class EntityNotFoundError(WorldError, KeyError):
    """There is no such entity, or it was deleted; ids are never used again."""

    __str__ = Exception.__str__


class DepthLimitError(WorldError):
    """A sub-agent would stand more levels below an agent than that one's limits allow."""


class ForeignWriteError(WorldError):
    """A system changed another entity than its own; only a World in checked mode finds that."""


class InboxFullError(WorldError):
    """A letter could not be delivered, since its receiver has as many letters waiting as its inbox holds."""


class LeaseRevokedError(WorldError):
    """A call that was cancelled, or whose entity was deleted, tried to write."""


class LoopRunningError(WorldError, RuntimeError):
    """`run_sync` was called where an event loop runs already."""


class RequestsFullError(WorldError):
    """Too many changes were asked of an entity whose call does not end."""


class RunEndedError(WorldError):
    """An agent's run ended before its answer was complete: a limit, an interruption, a stop, a world system that raised.

    Attributes:
        reason: why, as in `RunCompleted`.
        text: what it had said.
    """

    def __init__(self, message: str, *, reason: str = "", text: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.text = text


class SystemDefinitionError(WorldError, TypeError):
    """A system's signature cannot be read as a query."""


class NoProgressError(WorldError):
    """A system's `when` is still true after several calls that changed nothing."""


class LogTruncatedError(WorldError, LookupError):
    """The log no longer holds the position that was asked for."""


class CircularParentError(WorldError, ValueError):
    """An entity was to become a child of itself or of one of its descendants."""


class DuplicateComponentError(WorldError, ValueError):
    """Two components of the same type were given for one entity, which has one of a type."""


class StoreError(EcsAgentError):
    """Saved state cannot be written or read; what was there before is as it was."""


class JournalError(StoreError):
    """The journal could not be written: the disk is full or failed. What was committed before is kept."""


class StoreFormatError(StoreError, ValueError):
    """This is no store of ours, a damaged one, or one of a newer version."""


class StoreInUseError(StoreError):
    """Another process, or another world, has the store open."""


class UnsavableError(StoreError, TypeError):
    """A component holds what is no data: it can neither be written nor be left out."""


class MissingReferencesError(StoreError, LookupError):
    """A saved world names providers or tools that were not given.

    Attributes:
        providers: the names of the missing providers.
        tools: those of the missing tools.
    """

    def __init__(self, message: str, *, providers: Sequence[str] = (), tools: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.providers = tuple(providers)
        self.tools = tuple(tools)


class NoHistoryError(StoreError, LookupError):
    """The world keeps no history, or none of the place that was asked for."""


class RecordingMissError(StoreError, LookupError):
    """A recording has no answer to this request; the message shows in what the nearest one differs."""


class DivergenceError(StoreError):
    """A program did something else than its recording; the message names the first difference."""
