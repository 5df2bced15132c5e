"""What a `StreamPolicy` says of one drop: whether it is one, whether there is another attempt, whom it asks, and when."""

from __future__ import annotations

from typing import Final

from ecs_agent.components import LLMComponent, StreamPolicy
from ecs_agent.components.stream_policy import MAX_BACKOFF
from ecs_agent.errors import ErrorKind, ProviderError
from ecs_agent.providers.protocol import ProviderLike

MAX_WAIT: Final = 3600.0
"""Longer than this no server is waited for, in seconds."""

_FINAL: Final = frozenset({ErrorKind.AUTH, ErrorKind.BAD_REQUEST, ErrorKind.CONTEXT_LENGTH, ErrorKind.CONTENT_FILTER, ErrorKind.QUOTA})


def is_dropped(error: BaseException) -> bool:
    """Whether an error is one that asking again can mend.

    Of the errors of providers those are that say so of themselves (`retryable`: a stream that broke, a limit of time, a connection, a server that
    failed or is busy), and a malformed body, since what one garbles another try or another provider may say whole. Never those about the request
    itself or the account: auth, bad_request, context_length, content_filter, quota. Of other errors only a lost connection and a timeout, as
    a provider raises them that knows no errors of ours.
    """
    if isinstance(error, ProviderError):
        return error.kind not in _FINAL and (error.retryable or error.kind is ErrorKind.MALFORMED)
    return isinstance(error, (ConnectionError, TimeoutError))


def may_ask_again(policy: StreamPolicy, drops: int, error: BaseException) -> bool:
    """Whether a turn gets another attempt after this error, and so many drops before it."""
    return policy.on_drop != "raise" and drops + 1 < policy.max_attempts and is_dropped(error)


def whom_to_ask(llm: LLMComponent, policy: StreamPolicy, drops: int) -> ProviderLike:
    """The provider of the next attempt, when so many have dropped."""
    if not drops or not policy.fallbacks:
        return llm.provider
    return policy.fallbacks[min(drops, len(policy.fallbacks)) - 1]


def wait_before(policy: StreamPolicy, drops: int, error: BaseException, *, same: bool) -> float:
    """Seconds until the next attempt.

    Args:
        policy: the agent's.
        drops: how many attempts of the turn have dropped, this one among them.
        error: what dropped it.
        same: the same provider is asked again, so what it said about waiting counts.
    """
    wait = min(MAX_BACKOFF, policy.backoff * 2.0 ** min(drops - 1, 60))
    asked = getattr(error, "retry_after", None) if same else None
    return min(float(asked), MAX_WAIT) if isinstance(asked, (int, float)) and asked > wait else wait
