"""What follows a failure: a rest until new input, another try after a while, or quarantine.

Without a `SupervisionComponent` an entity that failed rests until new input or `touch`. With one it is tried again by itself. Either way, too
many failures within a window put it in quarantine, so that nothing fails for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecs_agent.core.outcome import detail

MAX_FAILURES = 3
FAILURE_WINDOW = 60.0
MAX_WAIT = 3600.0
"""Longer than this nobody is waited for, in seconds."""


@dataclass(slots=True)
class SupervisionComponent:
    """Try this entity again when a call on it failed: at most `restarts` times within `window` seconds, then it is quarantined.

    The n-th failure within the window is followed by a wait of `backoff` · 2^(n-1) seconds, at most `max_backoff`; a `retry_after` of the
    error, as of a model server that is busy, is waited for instead when it is longer. With `retryable_only` errors that say of themselves that
    another try is useless (their `retryable` is false, as of a wrong key) are left alone.
    """

    restarts: int = 3
    window: float = FAILURE_WINDOW
    backoff: float = 1.0
    max_backoff: float = 30.0
    retryable_only: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do: `quarantined`, or to try again after `delay` seconds, or, with neither, to rest. `failures` are those that still count."""

    failures: list[float]
    window: float
    quarantined: bool = False
    delay: float | None = None


def judge(policy: SupervisionComponent | None, failures: Sequence[float], now: float, error: BaseException) -> Verdict:
    """Decide what follows a failure now.

    Args:
        policy: the entity's own, if it has one.
        failures: when it failed before, in seconds.
        now: on the same clock.
        error: what the call raised.
    """
    window = FAILURE_WINDOW if policy is None else policy.window
    counted = [*[at for at in failures if now - at < window], now]
    retried = policy is not None and _is_retried(policy, error)
    if len(counted) >= (policy.restarts + 1 if policy is not None and retried else MAX_FAILURES):
        return Verdict(counted, window, quarantined=True)
    if policy is None or not retried:
        return Verdict(counted, window)
    wait = min(policy.max_backoff, policy.backoff * 2.0 ** min(len(counted) - 1, 60))
    asked = detail(error, "retry_after")
    if isinstance(asked, (int, float)) and asked > wait:
        wait = min(float(asked), MAX_WAIT)
    return Verdict(counted, window, delay=max(0.0, wait))


def _is_retried(policy: SupervisionComponent, error: BaseException) -> bool:
    return not policy.retryable_only or detail(error, "retryable") is not False
