"""All agents together: sums and counts that agree with the single figures."""

from __future__ import annotations

import msgspec
import pytest

from ecs_agent.telemetry import AgentPhase, AgentStats, crew_summary
from ecs_agent.types import EntityId, Usage

ONE = AgentStats(EntityId(1), "", "m", AgentPhase.IDLE, 1, 5, False, 0.1, 20.0, 0.0, 0.2, Usage(10, 5, 15), 0, None, "idle", None)


def crew(*phases: AgentPhase) -> list[AgentStats]:
    return [msgspec.structs.replace(ONE, entity=EntityId(number), phase=phase) for number, phase in enumerate(phases)]


def test_no_agents_are_nothing() -> None:
    summary = crew_summary([])
    assert (summary.agents, summary.done, summary.tokens, summary.tokens_per_second, summary.usage) == (0, 0, 0, 0.0, None)


def test_agents_are_counted_by_phase_and_by_the_reason_for_which_they_rest() -> None:
    stats = crew(AgentPhase.IDLE, AgentPhase.IDLE, AgentPhase.STREAMING)
    stats = [*stats[:1], msgspec.structs.replace(stats[1], reason="interrupted"), msgspec.structs.replace(stats[2], reason=None)]
    summary = crew_summary(stats)
    assert summary.phases == {AgentPhase.IDLE: 2, AgentPhase.STREAMING: 1}
    assert summary.reasons == {"idle": 1, "interrupted": 1}


@pytest.mark.parametrize("phase", list(AgentPhase))
def test_done_are_those_at_rest_and_not_those_that_were_never_asked(phase: AgentPhase) -> None:
    rests = {AgentPhase.IDLE, AgentPhase.ENDED, AgentPhase.WAITING, AgentPhase.FAILED, AgentPhase.QUARANTINED}
    assert crew_summary(crew(phase)).done == (phase in rests)
    assert crew_summary(crew(phase)).errors == (phase in {AgentPhase.FAILED, AgentPhase.QUARANTINED})


def test_the_rate_is_that_of_the_answers_that_arrive_now() -> None:
    assert crew_summary(crew(AgentPhase.STREAMING, AgentPhase.STREAMING, AgentPhase.IDLE)).tokens_per_second == 40.0


def test_silence_is_a_stall_from_some_seconds_on() -> None:
    stats = [msgspec.structs.replace(ONE, stalled=stalled) for stalled in (0.0, 9.9, 10.0, 40.0)]
    assert (crew_summary(stats).stalled, crew_summary(stats, stalled_after=5.0).stalled) == (2, 3)


def test_usage_is_summed_as_usage_is() -> None:
    usages = [
        Usage(10, 5, 15),
        None,
        Usage(1, 2, 3, cached_tokens=1, estimated=True),
        Usage(4, 4, 8, cached_tokens=2, reasoning_tokens=3, cache_write_tokens=1),
    ]
    summary = crew_summary([msgspec.structs.replace(ONE, usage=usage) for usage in usages])
    assert usages[0] is not None
    assert usages[2] is not None
    assert usages[3] is not None
    assert summary.usage == usages[0] + usages[2] + usages[3]


def test_tokens_that_nobody_counted_are_none() -> None:
    summary = crew_summary([ONE, msgspec.structs.replace(ONE, tokens=None), msgspec.structs.replace(ONE, tokens=7, estimated=True)])
    assert (summary.tokens, summary.estimated) == (12, True)
