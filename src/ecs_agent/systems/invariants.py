"""Invariants: what is true of a world whenever nobody is in the middle of a step, checked at any time, also while answers arrive.

* Facts are numbered without gaps, in the world and in each entity.
* Each attempt ends once before the next one begins (`systems.attempt`), and one is open exactly where there is a `StreamStateComponent`.
* A call gets one result.
* A conversation is valid: a result follows its call, and nothing but results stands between them. Calls at its end may wait for theirs.
* A conversation is the fold of the log, as are the usage of a run and what is shown of an answer that is arriving.
"""

from __future__ import annotations

from collections.abc import Iterable

from ecs_agent.components import ConversationComponent, QueuedInputComponent, StreamStateComponent, TurnComponent
from ecs_agent.core import Envelope, World
from ecs_agent.errors import LogTruncatedError
from ecs_agent.systems.conversation import history_problems, unanswered
from ecs_agent.systems.transcript import HistoryFold, ShownText
from ecs_agent.types import EntityId


def check_facts(facts: Iterable[Envelope], *, is_exact: bool = False) -> list[str]:
    """What is wrong with the facts of a world, a sentence each.

    Args:
        facts: in order, and without gaps; not necessarily from the beginning.
        is_exact: as in `HistoryFold`.
    """
    return _Facts(facts, is_exact=is_exact).problems()


def check_world(world: World) -> list[str]:
    """What is wrong with a world, a sentence each; empty if nothing is. It reads the whole log, so it is for tests and for looking into trouble.

    What the log has dropped (`MemoryLog`), or does not say, is not checked.
    """
    is_exact = world.log.keeps_changes
    try:
        facts = _Facts(world.log.read(), is_exact=is_exact)
    except LogTruncatedError:
        return [problem for entity, (held,) in world.query(ConversationComponent) for problem in _broken(entity, held)]
    problems = facts.problems()
    for entity, (held,) in world.query(ConversationComponent):
        problems += _broken(entity, held)
    for entity, history in facts.histories.items():
        if world.has_entity(entity):
            problems += _differences(world, entity, history, facts.shown[entity])
    return problems


class _Facts:
    """All facts of a world, folded entity by entity."""

    def __init__(self, facts: Iterable[Envelope], *, is_exact: bool) -> None:
        self.histories: dict[EntityId, HistoryFold] = {}
        self.shown: dict[EntityId, ShownText] = {}
        self._gaps: list[str] = []
        self._is_exact = is_exact
        self._pos: int | None = None
        self._seqs: dict[EntityId, int] = {}
        for fact in facts:
            self._add(fact)

    def _add(self, fact: Envelope) -> None:
        if self._pos is not None and fact.pos != self._pos + 1:
            self._gaps.append(f"behind position {self._pos} comes {fact.pos}")
        self._pos = fact.pos
        entity = fact.entity
        if entity is None:
            return
        before = self._seqs.get(entity)
        if before is not None and fact.seq != before + 1:
            self._gaps.append(f"behind fact {before} of entity {entity} comes {fact.seq}")
        self._seqs[entity] = fact.seq
        if before is None:
            self.histories[entity] = HistoryFold(is_whole=fact.seq == 1, is_exact=self._is_exact)
            self.shown[entity] = ShownText()
        self.histories[entity].add(fact)
        self.shown[entity].take(fact.payload)

    def problems(self) -> list[str]:
        """What is wrong with them alone."""
        told = [f"entity {entity}: {problem}" for entity, history in self.histories.items() for problem in history.transcript.problems]
        return self._gaps + told


def _broken(entity: EntityId, conversation: ConversationComponent) -> list[str]:
    messages = conversation.messages
    settled = next((at for at in range(len(messages) - 1, -1, -1) if messages[at].role != "tool"), 0)
    waiting = len(unanswered(messages[settled:]))  # the problems of the last calls come last
    found = history_problems(messages)
    return [f"entity {entity}: {problem}" for problem in (found[:-waiting] if waiting else found)]


def _differences(world: World, entity: EntityId, history: HistoryFold, shown: ShownText) -> list[str]:
    """Where the components of an entity are not what its log says."""
    transcript, found = history.transcript, list[str]()
    state = world.get_component(entity, StreamStateComponent)
    if history.is_whole and (state is None) is not (transcript.open_attempt is None):
        found.append(f"it has {'an' if state is not None else 'no'} answer in hand, and the log says otherwise")
    if transcript.is_known:
        conversation = world.get_component(entity, ConversationComponent)
        queued = world.get_component(entity, QueuedInputComponent)
        if transcript.messages != (conversation.messages if conversation is not None else []):
            found.append("its conversation is not what the log says")
        if transcript.queued != (queued.messages if queued is not None else []):
            found.append("its queued input is not what the log says")
    turn = world.get_component(entity, TurnComponent)
    if transcript.usage_is_known and turn is not None and turn.usage != transcript.usage:
        found.append(f"its usage is {turn.usage}, and its attempts cost {transcript.usage}")
    current = transcript.open_attempt
    if state is not None and current is not None and not current.elsewhere and state.result().message.content != shown.text:
        found.append("what is shown of its answer is not what it holds")
    return [f"entity {entity}: {problem}" for problem in found]
