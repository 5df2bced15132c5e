"""The figures of all agents together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from ecs_agent.telemetry.agent_phase import AgentPhase
from ecs_agent.telemetry.agent_stats import AgentStats
from ecs_agent.types import Usage

STALLED_AFTER = 10.0
"""An answer of which nothing came for so many seconds is called stalled."""


@dataclass(frozen=True, slots=True)
class CrewSummary:
    """All agents of a world together.

    `phases` and `reasons` (why those at rest came to it) count agents. `tokens_per_second` is that of the answers that are arriving; `tokens`
    and `usage` are sums over the agents' runs, and `estimated` says that a part of the tokens is. `errors` are agents that cannot go on by
    themselves, `stalled` those whose model has been silent for long.
    """

    agents: int
    phases: Mapping[AgentPhase, int]
    reasons: Mapping[str, int]
    tokens: int
    estimated: bool
    tokens_per_second: float
    errors: int
    stalled: int
    usage: Usage | None

    @property
    def done(self) -> int:
        """How many have come to rest after they were asked something."""
        return sum([count for phase, count in self.phases.items() if phase.at_rest])


def crew_summary(stats: Sequence[AgentStats], *, stalled_after: float = STALLED_AFTER) -> CrewSummary:
    """Sum up what `agent_stats` says.

    Args:
        stats: the agents.
        stalled_after: seconds of silence.
    """
    phases = Counter([each.phase for each in stats])
    rates = [each.tokens_per_second or 0.0 for each in stats if each.phase is AgentPhase.STREAMING]
    return CrewSummary(
        agents=len(stats),
        phases=phases,
        reasons=Counter([each.reason for each in stats if each.reason is not None]),
        tokens=sum([each.tokens or 0 for each in stats]),
        estimated=any(each.estimated for each in stats),
        tokens_per_second=fsum(rates),
        errors=sum([count for phase, count in phases.items() if phase.is_error]),
        stalled=sum([each.stalled >= stalled_after for each in stats]),
        usage=_total([each.usage for each in stats if each.usage is not None]),
    )


def _total(usages: Sequence[Usage]) -> Usage | None:
    """The sum; field by field, as thousands of sums of two would cost much more."""
    if not usages:
        return None
    cached = [each.cached_tokens for each in usages if each.cached_tokens is not None]
    reasoning = [each.reasoning_tokens for each in usages if each.reasoning_tokens is not None]
    written = [each.cache_write_tokens for each in usages if each.cache_write_tokens is not None]
    return Usage(
        sum([each.prompt_tokens for each in usages]),
        sum([each.completion_tokens for each in usages]),
        sum([each.total_tokens for each in usages]),
        sum(cached) if cached else None,
        sum(reasoning) if reasoning else None,
        any(each.estimated for each in usages),
        sum(written) if written else None,
    )
