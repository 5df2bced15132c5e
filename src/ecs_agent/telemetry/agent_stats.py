"""The figures of every agent of a world."""

from __future__ import annotations

from typing import Any

import msgspec

from ecs_agent.components import (
    ConversationComponent,
    ErrorComponent,
    InterruptionComponent,
    LLMComponent,
    NameComponent,
    PendingToolCallsComponent,
    QuarantineComponent,
    StreamStateComponent,
    TerminalComponent,
    TurnComponent,
)
from ecs_agent.core import EndReason, EntityStats, World
from ecs_agent.providers.token_estimate import CHARACTERS_A_TOKEN
from ecs_agent.telemetry.agent_phase import AgentPhase, phase_of
from ecs_agent.telemetry.open_answers import OpenAnswers
from ecs_agent.types import EntityId, Timing, Usage


class AgentStats(msgspec.Struct, frozen=True, gc=False):
    """One agent at the moment. A struct of msgspec and not a dataclass, since there are thousands, several times a second.

    `tokens` are those it has written in its run, None if nobody counted; `estimated` says that some are counted from characters, as those of an
    answer that is still arriving are. `first_token` (seconds until the first piece), `tokens_per_second` and `longest_gap` (seconds between two
    pieces) are of the answer that is arriving, else of the last one; None where there is nothing to tell. `stalled` are the seconds since the
    newest piece of an open answer, or since the model was asked while there is none; 0 without an open answer. `usage` is that of the run's
    finished turns. `tools_running` are its calls without a result. `reason` is why it rests, `error` what went wrong.
    """

    entity: EntityId
    name: str
    model: str
    phase: AgentPhase
    turn: int
    tokens: int | None
    estimated: bool
    first_token: float | None
    tokens_per_second: float | None
    stalled: float
    longest_gap: float | None
    usage: Usage | None
    tools_running: int
    error: str | None
    reason: str | None
    parent: EntityId | None

    @property
    def is_open(self) -> bool:
        """Whether a model is answering, or was asked to: what else is said then changes by the mere passing of time."""
        return self.phase in (AgentPhase.ASKED, AgentPhase.STREAMING)


def agent_stats(world: World) -> list[AgentStats]:
    """What every agent of a world does, oldest agent first. Nothing is kept between two askings but how far open answers were counted."""
    now, rows = world.clock.monotonic(), world.state.rows
    answers = world.resource(OpenAnswers, OpenAnswers)
    standing = {each.entity: each for each in world.stats().entities}
    found: list[AgentStats] = []
    for entity, (llm,) in world.query(LLMComponent):
        row = rows[entity]
        found.append(_stats(row.components, llm, standing[entity], row.parent, answers, now))
    answers.forget_the_closed()
    return found


def _stats(held: dict[type, Any], llm: LLMComponent, standing: EntityStats, parent: EntityId | None, answers: OpenAnswers, now: float) -> AgentStats:
    entity = standing.entity
    turn: TurnComponent | None = held.get(TurnComponent)
    phase = phase_of(held, standing)
    usage = turn.usage if turn is not None else None
    tokens = usage.completion_tokens if usage is not None else None
    estimated = usage is not None and usage.estimated
    state: StreamStateComponent | None = held.get(StreamStateComponent)
    first, rate, stalled, gap = _timed(turn.timing if turn is not None else None)
    if state is not None:
        arriving = answers.characters(entity, state) // CHARACTERS_A_TOKEN
        tokens, estimated = (tokens or 0) + arriving, True
        first, rate, stalled, gap = _arriving(state, arriving, now)
    pending: PendingToolCallsComponent | None = held.get(PendingToolCallsComponent)
    name: NameComponent | None = held.get(NameComponent)
    return AgentStats(
        entity,
        name.name if name is not None else "",
        llm.model or _model_of(llm.provider),
        phase,
        turn.turn if turn is not None else 0,
        tokens,
        estimated,
        first,
        rate,
        stalled,
        gap,
        usage,
        len(pending.tool_calls) - len(pending.results) if pending is not None and phase is AgentPhase.TOOLS else 0,
        _error(held),
        _reason(held, phase, standing.reason),
        parent,
    )


def _timed(timing: Timing | None) -> tuple[float | None, float | None, float, float | None]:
    if timing is None:
        return None, None, 0.0, None
    return timing.time_to_first_delta, timing.tokens_per_second, 0.0, timing.gap_max


def _arriving(state: StreamStateComponent, tokens: int, now: float) -> tuple[float | None, float | None, float, float | None]:
    """First token, rate, stall and longest gap; the rate is up to now, so that it falls while nothing comes."""
    if state.first_at is None:
        return None, None, max(0.0, now - state.started), None
    lasted = now - state.first_at
    stalled = max(0.0, now - state.last_at)
    return state.first_at - state.started, tokens / lasted if lasted > 0 else None, stalled, max(state.longest_gap, stalled)


def _model_of(provider: object) -> str:
    found = getattr(provider, "model", "") or getattr(provider, "name", "")
    return found if isinstance(found, str) else ""


def _error(held: dict[type, Any]) -> str | None:
    failure = held.get(ErrorComponent)
    if failure is not None:
        return str(failure.error)
    quarantine = held.get(QuarantineComponent)
    return str(quarantine.reason) if quarantine is not None else None


def _reason(held: dict[type, Any], phase: AgentPhase, reason: EndReason | None) -> str | None:
    if not phase.at_rest:
        return None
    if phase.is_error:
        return phase.value
    if reason is EndReason.TERMINAL:
        return str(held[TerminalComponent].reason)
    if phase is AgentPhase.IDLE and _was_interrupted(held):
        return "interrupted"
    return (reason or EndReason.IDLE).value


def _was_interrupted(held: dict[type, Any]) -> bool:
    """It was told to stop, or its last answer was cut off, as by the end of the run."""
    conversation: ConversationComponent | None = held.get(ConversationComponent)
    return InterruptionComponent in held or (conversation is not None and bool(conversation.messages) and conversation.messages[-1].interrupted)
