"""StreamPolicy: what becomes of an answer that drops, is late, or was found half said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
from tests.systems.scripted import Scripted, calls, text

from ecs_agent import Agent, AgentEvent, RunCompleted, Runner, TextDelta, ToolCallStarted, World, append_message, spawn_agent, tool
from ecs_agent.components import (
    InterruptionComponent,
    LimitsComponent,
    PricesComponent,
    StreamingComponent,
    StreamPolicy,
    StreamStateComponent,
    TurnComponent,
)
from ecs_agent.core import Block, EndReason, LoopClock, MemoryLog, SupervisionComponent
from ecs_agent.core.change import Edited, Replaced
from ecs_agent.errors import (
    AuthenticationError,
    ErrorKind,
    MalformedResponseError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from ecs_agent.providers.capabilities import Capabilities
from ecs_agent.systems import AttemptContinued, AttemptDiscarded, AttemptInterrupted, AttemptStarted, TurnStarted
from ecs_agent.systems.continuation import GO_ON
from ecs_agent.systems.invariants import check_world
from ecs_agent.systems.ledger import Ledger
from ecs_agent.systems.stream_policy import is_dropped, wait_before
from ecs_agent.testing import run
from ecs_agent.types import (
    CompletionResult,
    Message,
    ReasoningPart,
    StreamDelta,
    StreamDeltaEvent,
    StreamEndEvent,
    TextPart,
    ToolCall,
    ToolCallFragment,
    Usage,
)

LOST = StreamInterruptedError("the connection was lost")
HALF: list[Any] = [StreamDelta(content="half an "), LOST]
ENDS = (AttemptContinued, AttemptDiscarded, AttemptInterrupted, StreamEndEvent)


def new_world() -> World:
    world = World(clock=LoopClock(), rng=Random(1))
    log = MemoryLog(100_000)
    log.keeps_changes = True
    world.state.log = log
    return world


def whole(content: str, usage: Usage | None = None) -> list[Any]:
    return [StreamDelta(content=content), StreamDelta(finish_reason="stop", usage=usage, final=True)]


def prefilling(*answers: Any, name: str = "scripted") -> Scripted:
    provider = Scripted(*answers)
    provider.model = name
    provider.capabilities = Capabilities(prefill=True)  # type: ignore[attr-defined]
    return provider


def ends(world: World) -> list[Any]:
    return [fact.payload for fact in world.log.read() if isinstance(fact.payload, ENDS)]


def started(world: World) -> list[AttemptStarted]:
    return [fact.payload for fact in world.log.read() if isinstance(fact.payload, AttemptStarted)]


def turn_of(agent: Agent) -> TurnComponent:
    turn = agent.world.get_component(agent.entity, TurnComponent)
    assert turn is not None
    return turn


async def events_of(agent: Agent, said: str = "go") -> list[AgentEvent]:
    return [event async for event in agent.run(said)]


class TestRetry:
    def test_the_half_answer_is_taken_back_once_and_the_same_turn_is_asked_again(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                provider = Scripted(HALF, whole("an answer"))
                agent = spawn_agent(world, provider, policy=StreamPolicy("retry"))
                events = await events_of(agent)
                kept = Message("assistant", "half an ", interrupted=True)
                assert [event for event in events if not isinstance(event, RunCompleted)][:4] == [
                    TurnStarted(agent.entity, 1),
                    TextDelta("half an "),
                    AttemptDiscarded(agent.entity, kept, Usage(0, 2, 2, estimated=True)),
                    TextDelta("an answer"),
                ]
                assert isinstance(events[-1], RunCompleted)
                assert (events[-1].text, events[-1].turns) == ("an answer", 1)
                assert agent.messages == [Message("user", "go"), Message("assistant", "an answer")]
                assert started(world) == [AttemptStarted(agent.entity, attempt, "Scripted", "scripted", 1) for attempt in (1, 2)]
                told = [(fact.turn, fact.attempt) for fact in world.log.read() if isinstance(fact.payload, (AttemptStarted, *ENDS))]
                assert told == [(1, 1), (1, 1), (1, 2), (1, 2)]
                assert not [fact for fact in world.log.read() if isinstance(fact.payload, AttemptInterrupted)]
                assert provider.requests[0] == provider.requests[1]
                assert check_world(world) == []

        run(main)

    def test_a_refusal_is_an_attempt_of_which_nothing_was_shown(self) -> None:
        class Refusing(Scripted):
            async def complete(self, messages: Any, stream: bool = False, **options: Any) -> Any:
                if len(self.requests) < 2:
                    self.requests.append(list(messages))
                    raise ServerError("overloaded", status=503)
                return await super().complete(messages, stream, **options)

        async def main() -> None:
            async with new_world() as world:
                agent = spawn_agent(world, Refusing(whole("here I am")), policy=StreamPolicy("retry"))
                assert await agent.ask("go") == "here I am"
                assert ends(world)[:2] == [AttemptDiscarded(agent.entity, None, None)] * 2
                assert check_world(world) == []

        run(main)

    def test_it_waits_twice_as_long_each_time(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent = spawn_agent(world, Scripted(HALF, HALF, HALF, whole("x")), policy=StreamPolicy("retry", max_attempts=4, backoff=1.0))
                assert await agent.ask("go") == "x"
                assert asyncio.get_running_loop().time() == pytest.approx(1.0 + 2.0 + 4.0)

        run(main)

    def test_what_every_attempt_has_cost_is_counted(self) -> None:
        async def main() -> None:
            counted: list[Any] = [StreamDelta(content="half"), StreamDelta(usage=Usage(10, 4, 14)), LOST]
            async with new_world() as world:
                agent = spawn_agent(world, Scripted(counted, HALF, whole("all", Usage(10, 1, 11))), policy=StreamPolicy("retry", backoff=0))
                completed = await agent.run("go").result()
                assert completed.usage == Usage(20, 4 + 2 + 1, 14 + 2 + 11, estimated=True)
                assert [end.usage for end in ends(world)[:2]] == [Usage(10, 4, 14), Usage(0, 2, 2, estimated=True)]
                assert check_world(world) == []

        run(main)

    def test_when_the_attempts_are_used_up_it_is_as_without_a_policy(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                provider = Scripted(HALF, HALF, whole("never"))
                agent = spawn_agent(world, provider, policy=StreamPolicy("retry", max_attempts=2))
                append_message(world, agent.entity, "go")
                result = await Runner().run(world)
                assert isinstance(result[agent.entity].error, StreamInterruptedError)
                assert agent.messages[-1] == Message("assistant", "half an ", interrupted=True)
                assert [type(end) for end in ends(world)] == [AttemptDiscarded, AttemptInterrupted]
                assert len(provider.requests) == 2
                assert check_world(world) == []

        run(main)

    def test_a_supervised_agent_is_tried_again_after_that(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent = spawn_agent(world, Scripted(HALF, HALF, whole("at last")), policy=StreamPolicy("retry", max_attempts=2))
                world.add_component(agent.entity, SupervisionComponent(backoff=1.0))
                completed = await agent.run("go").result()
                assert (completed.text, completed.turns) == ("at last", 1)
                assert [type(end) for end in ends(world)] == [AttemptDiscarded, AttemptInterrupted, AttemptDiscarded, StreamEndEvent]
                assert [attempt.attempt for attempt in started(world)] == [1, 2, 3]
                assert check_world(world) == []

        run(main)

    def test_a_limit_holds_across_attempts_and_what_was_said_is_kept(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                provider = Scripted(HALF, HALF, whole("never"))
                agent = spawn_agent(world, provider, policy=StreamPolicy("retry", max_attempts=9), limits=LimitsComponent(tokens=3))
                append_message(world, agent.entity, "go")
                result = await Runner().run(world)
                assert (result[agent.entity].reason, len(provider.requests)) == (EndReason.TERMINAL, 2)
                assert agent.messages[-1] == Message("assistant", "half an ", interrupted=True)
                assert check_world(world) == []

        run(main)

    @pytest.mark.parametrize("limits", [LimitsComponent(tree_tokens=3), LimitsComponent(cost=3e-6)])
    def test_so_does_one_that_the_ledger_knows(self, limits: LimitsComponent) -> None:
        async def main() -> None:
            async with new_world() as world:
                provider = Scripted(HALF, HALF, whole("never"))
                agent = spawn_agent(world, provider, policy=StreamPolicy("retry", max_attempts=9), limits=limits)
                world.add_component(agent.entity, PricesComponent(prompt=1.0, completion=1.0))
                append_message(world, agent.entity, "go")
                result = await Runner().run(world)
                assert (result[agent.entity].reason, len(provider.requests)) == (EndReason.TERMINAL, 2)
                assert check_world(world) == []

        run(main)

    def test_the_ledger_takes_the_count_of_a_provider_whose_answer_broke_off(self) -> None:
        async def main() -> None:
            counted: list[Any] = [StreamDelta(content="half"), StreamDelta(usage=Usage(100, 4, 104)), LOST]
            async with new_world() as world:
                agent = spawn_agent(world, Scripted(counted, whole("x", Usage(1, 1, 2))), policy=StreamPolicy("retry"))
                world.add_component(agent.entity, LimitsComponent(tree_tokens=1000))
                await agent.ask("go")
                spent = world.resource(Ledger, Ledger).spent(agent.entity)
                assert (spent.tokens, spent.turns, spent.estimated) == (106, 1, False)
                assert turn_of(agent).usage == Usage(101, 5, 106)

        run(main)

    def test_a_cancel_while_it_waits_keeps_what_was_said(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent = spawn_agent(world, Scripted(HALF, whole("never")), policy=StreamPolicy("retry", backoff=10.0))
                append_message(world, agent.entity, "go")
                running = asyncio.ensure_future(Runner().run(world))
                await asyncio.sleep(5.0)
                world.add_component(agent.entity, InterruptionComponent())
                await running
                assert agent.messages[-1] == Message("assistant", "half an ", interrupted=True)
                assert [type(end) for end in ends(world)] == [AttemptInterrupted]
                assert check_world(world) == []

        run(main)

    def test_what_a_user_says_while_it_waits_is_answered_next(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent = spawn_agent(world, Scripted(HALF, whole("first"), whole("second")), policy=StreamPolicy("retry", backoff=10.0))
                running = asyncio.ensure_future(agent.run("one").result())
                await asyncio.sleep(5.0)
                append_message(world, agent.entity, "two")
                assert (await running).turns == 2
                assert [message.content for message in agent.messages] == ["one", "first", "two", "second"]
                assert check_world(world) == []

        run(main)

    def test_right_behind_the_retraction_it_is_still_the_same_turn(self) -> None:
        """A world as it was at that fact must not count the turn twice when it goes on from there."""

        async def main() -> None:
            async with new_world() as world:
                agent = spawn_agent(world, Scripted(HALF, whole("x")), policy=StreamPolicy("retry"))
                await agent.ask("go")
                (change,) = [fact.change for fact in world.log.read() if isinstance(fact.payload, AttemptDiscarded)]
                assert isinstance(change, Edited)
                assert Replaced("broken", True) in change.edits

        run(main)

    def test_a_call_that_begins_anew_in_the_next_attempt_is_told_anew(self) -> None:
        fragment = ToolCallFragment(0, "c", "look_up", '{"word": ')
        broken: list[Any] = [StreamDelta(tool_calls=[ToolCall("c", "look_up", raw_arguments='{"word": ')], tool_fragments=(fragment,)), LOST]

        @tool
        async def look_up(word: str = "") -> str:
            """Looks up."""
            return "found"

        async def main() -> None:
            async with new_world() as world:
                agent = spawn_agent(
                    world, Scripted(broken, calls(ToolCall("c", "look_up", {})), text("ok")), tools=[look_up], policy=StreamPolicy("retry")
                )
                events = await events_of(agent)
                assert [event for event in events if isinstance(event, ToolCallStarted)] == [ToolCallStarted(0, "c", "look_up")] * 2

        run(main)


class TestContinue:
    def test_the_partial_answer_is_sent_as_the_last_message_where_the_provider_goes_on_behind_it(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                provider = prefilling(HALF, whole("answer", Usage(9, 1, 10)))
                agent = spawn_agent(world, provider, policy=StreamPolicy("continue"))
                events = await events_of(agent)
                assert provider.requests[1] == [Message("user", "go"), Message("assistant", "half an ")]
                shown = [event.text for event in events if isinstance(event, TextDelta)]
                assert shown == ["half an ", "answer"]
                assert AttemptContinued(agent.entity, Message("assistant", "half an ", interrupted=True), Usage(0, 2, 2, estimated=True)) in events
                assert agent.messages == [Message("user", "go"), Message("assistant", "half an answer")]
                (end,) = [end for end in ends(world) if isinstance(end, StreamEndEvent)]
                assert end.result.message == Message("assistant", "half an answer")
                assert end.result.usage == Usage(9, 1, 10)
                assert turn_of(agent).usage == Usage(9, 3, 12, estimated=True)
                assert [attempt.messages for attempt in started(world)] == [1, 2]
                assert check_world(world) == []

        run(main)

    def test_another_is_asked_in_words(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                provider = Scripted(HALF, whole("answer"))
                agent = spawn_agent(world, provider, policy=StreamPolicy("continue"))
                assert await agent.ask("go") == "half an answer"
                assert provider.requests[1] == [Message("user", "go"), Message("assistant", "half an "), Message("user", GO_ON)]

        run(main)

    def test_one_that_cannot_be_asked_so_begins_anew(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                provider = Scripted(HALF, whole("another answer"))
                provider.capabilities = Capabilities(prefill=False, continuation=False)  # type: ignore[attr-defined]
                agent = spawn_agent(world, provider, policy=StreamPolicy("continue"))
                assert await agent.ask("go") == "another answer"
                assert [type(end) for end in ends(world)] == [AttemptDiscarded, StreamEndEvent]

        run(main)

    def test_it_goes_on_as_often_as_it_breaks_and_counts_each_attempt_once(self) -> None:
        async def main() -> None:
            first = [StreamDelta(content="one "), StreamDelta(usage=Usage(5, 1, 6)), LOST]
            async with new_world() as world:
                provider = prefilling(first, [StreamDelta(content="two "), LOST], whole("three", Usage(5, 1, 6)))
                agent = spawn_agent(world, provider, policy=StreamPolicy("continue"))
                assert await agent.ask("go") == "one two three"
                assert [end.message.content for end in ends(world)[:2]] == ["one ", "one two "]
                assert [end.usage for end in ends(world)[:2]] == [Usage(5, 1, 6), Usage(0, 1, 1, estimated=True)]
                assert turn_of(agent).usage == Usage(10, 3, 13, estimated=True)
                assert check_world(world) == []

        run(main)

    def test_what_an_earlier_attempt_was_told_is_not_the_count_of_the_last(self) -> None:
        async def main() -> None:
            first: list[Any] = [StreamDelta(content="half an "), StreamDelta(usage=Usage(5, 1, 6)), LOST]
            async with new_world() as world:
                agent = spawn_agent(world, prefilling(first, whole("answer")), policy=StreamPolicy("continue"))
                await agent.ask("go")
                (end,) = [end for end in ends(world) if isinstance(end, StreamEndEvent)]
                assert end.result.usage is None
                assert turn_of(agent).usage == Usage(5, 3, 8, estimated=True)
                assert check_world(world) == []

        run(main)

    def test_the_state_holds_the_whole_answer_meanwhile(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                going = asyncio.Event()
                agent = spawn_agent(world, prefilling(HALF, [StreamDelta(content="ans"), going, *whole("wer")]), policy=StreamPolicy("continue"))
                running = asyncio.ensure_future(agent.run("go").result())
                await asyncio.sleep(5.0)
                state = world.get_component(agent.entity, StreamStateComponent)
                assert state is not None
                assert (state.result().message.content, state.attempt, state.phase, state.provider) == ("half an ans", 2, "arriving", "Scripted")
                assert check_world(world) == []
                going.set()
                assert (await running).text == "half an answer"

        run(main)

    def test_reasoning_before_the_text_is_kept(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                provider = prefilling([StreamDelta(reasoning="let me see"), *HALF], whole("answer"))
                agent = spawn_agent(world, provider, policy=StreamPolicy("continue"))
                await agent.ask("go")
                assert agent.messages[-1].parts == (ReasoningPart("let me see"), TextPart("half an answer"))
                assert provider.requests[1][-1] == Message("assistant", "half an ")

        run(main)

    @pytest.mark.parametrize(
        "beginning",
        [
            [StreamDelta(reasoning="let me see")],
            [StreamDelta(content="It "), StreamDelta(reasoning="hm")],
            [StreamDelta(content="  \n")],
            [StreamDelta(content="I "), StreamDelta(refusal="can't")],
            [
                StreamDelta(content="I call "),
                StreamDelta(tool_calls=[ToolCall("c", "f", raw_arguments="{")], tool_fragments=(ToolCallFragment(0, "c", "f", "{"),)),
            ],
            [StreamDelta(content="I call "), StreamDelta(tool_calls=[ToolCall("c", "f", raw_arguments="{")])],
        ],
        ids=["reasoning only", "reasoning last", "white space", "refusal", "a call", "a call without fragments"],
    )
    def test_what_is_not_text_to_its_end_begins_anew(self, beginning: list[StreamDelta]) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent = spawn_agent(world, prefilling([*beginning, LOST], whole("anew")), policy=StreamPolicy("continue"))
                assert await agent.ask("go") == "anew"
                assert [type(end) for end in ends(world)] == [AttemptDiscarded, StreamEndEvent]
                assert check_world(world) == []

        run(main)

    def test_an_answer_that_went_on_and_then_calls_a_tool_in_vain_is_taken_back_as_a_whole(self) -> None:
        async def main() -> None:
            half_call = [StreamDelta(content="that "), StreamDelta(tool_calls=[ToolCall("c", "f", raw_arguments="{")]), LOST]
            async with new_world() as world:
                agent = spawn_agent(world, prefilling(HALF, half_call, whole("anew")), policy=StreamPolicy("continue"))
                assert await agent.ask("go") == "anew"
                assert [type(end) for end in ends(world)] == [AttemptContinued, AttemptDiscarded, StreamEndEvent]
                assert ends(world)[1].message.content == "half an that "
                assert check_world(world) == []

        run(main)

    def test_a_cancelled_continuation_keeps_all_that_was_shown(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent = spawn_agent(world, prefilling(HALF, [StreamDelta(content="ans"), asyncio.Event()]), policy=StreamPolicy("continue"))
                append_message(world, agent.entity, "go")
                running = asyncio.ensure_future(Runner().run(world))
                await asyncio.sleep(5.0)
                world.add_component(agent.entity, InterruptionComponent())
                await running
                assert agent.messages[-1] == Message("assistant", "half an ans", interrupted=True)
                assert check_world(world) == []

        run(main)

    def test_when_the_attempts_are_used_up_the_error_knows_all_that_was_said(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent = spawn_agent(world, prefilling(HALF, [StreamDelta(content="ans"), LOST]), policy=StreamPolicy("continue", max_attempts=2))
                with pytest.raises(StreamInterruptedError) as raised:
                    await agent.ask("go")
                assert raised.value.partial is not None
                assert raised.value.partial.message.content == "half an ans"

        run(main)

    def test_an_echo_of_the_partial_answer_is_never_shown(self) -> None:
        async def main() -> None:
            said = "It was a dark and stormy night"
            again = [StreamDelta(content=piece) for piece in (said[:10], said[10:], " in ", "May.")]
            async with new_world() as world:
                provider = Scripted([StreamDelta(content=said), LOST], [*again, StreamDelta(finish_reason="stop", final=True)])
                agent = spawn_agent(world, provider, policy=StreamPolicy("continue"))
                events = await events_of(agent)
                assert "".join([event.text for event in events if isinstance(event, TextDelta)]) == said + " in May."
                assert agent.messages[-1] == Message("assistant", said + " in May.")
                assert check_world(world) == []

        run(main)

    def test_what_only_looked_like_an_echo_is_shown(self) -> None:
        async def main() -> None:
            said = "la la la la la la la la"
            async with new_world() as world:
                agent = spawn_agent(world, Scripted([StreamDelta(content=said), LOST], whole("la la")), policy=StreamPolicy("continue"))
                assert await agent.ask("sing") == said + "la la"

        run(main)


class TestFallbacks:
    def test_they_are_asked_in_order_from_the_second_attempt_on_and_the_last_one_stays(self) -> None:
        async def main() -> None:
            first, second, third = Scripted(HALF), prefilling(HALF, name="b"), prefilling(HALF, whole("done"), name="c")
            async with new_world() as world:
                policy = StreamPolicy("retry", max_attempts=5, fallbacks=(second, third))
                agent = spawn_agent(world, first, model="mine", policy=policy)
                assert await agent.ask("go") == "done"
                assert [(attempt.attempt, attempt.model) for attempt in started(world)] == [(1, "mine"), (2, "b"), (3, "c"), (4, "c")]
                assert first.options == [{"model": "mine"}]
                assert (second.options, third.options) == ([{}], [{}, {}])

        run(main)

    def test_the_next_turn_begins_with_the_first_one_again(self) -> None:
        @tool
        async def look_up() -> str:
            """Looks."""
            return "found"

        async def main() -> None:
            first, second = Scripted(HALF, whole("two"), whole("three")), Scripted(calls(ToolCall("c", "look_up")))
            async with new_world() as world:
                agent = spawn_agent(world, first, tools=[look_up], policy=StreamPolicy("retry", fallbacks=(second,)))
                assert (await agent.ask("go"), await agent.ask("go on")) == ("two", "three")
                assert turn_of(agent).drops == 0

        run(main)

    def test_a_try_of_the_supervision_goes_on_with_the_fallback(self) -> None:
        async def main() -> None:
            first, second = Scripted(HALF), Scripted(HALF, whole("at last"))
            async with new_world() as world:
                agent = spawn_agent(world, first, policy=StreamPolicy("retry", max_attempts=2, fallbacks=(second,)))
                world.add_component(agent.entity, SupervisionComponent(backoff=0.0))
                assert await agent.ask("go") == "at last"

        run(main)

    def test_what_a_fallback_can_decides_how_it_is_asked(self) -> None:
        async def main() -> None:
            second = prefilling(whole("answer"))
            async with new_world() as world:
                agent = spawn_agent(world, Scripted(HALF), policy=StreamPolicy("continue", fallbacks=(second,)))
                assert await agent.ask("go") == "half an answer"
                assert second.requests[0][-1] == Message("assistant", "half an ")

        run(main)

    def test_permits_are_those_of_who_is_asked(self) -> None:
        from ecs_agent.systems import ReasoningSystem

        async def main() -> None:
            busy = asyncio.Event()
            first, second = Scripted(HALF, HALF), Scripted([busy, *whole("a")], whole("b"))
            async with new_world() as world:
                world.register_system(ReasoningSystem(max_requests_per_provider=1))
                agents = [spawn_agent(world, first, policy=StreamPolicy("retry", fallbacks=(second,))) for _ in range(2)]
                asking = [asyncio.ensure_future(agent.ask("go")) for agent in agents]
                await asyncio.sleep(10)
                assert (len(first.requests), len(second.requests)) == (2, 1)
                busy.set()
                assert await asyncio.gather(*asking) == ["a", "b"]

        run(main)


class Slow:
    """Streams what it is given; a number is a pause."""

    model = "slow"

    def __init__(self, *answers: list[Any]) -> None:
        self._answers = list(answers)

    async def complete(self, messages: Any, stream: bool = False, **_: Any) -> AsyncIterator[StreamDelta]:
        answer = self._answers.pop(0)
        if answer and isinstance(answer[0], float):
            await asyncio.sleep(answer.pop(0))
        return self._play(answer)

    async def _play(self, answer: list[Any]) -> AsyncIterator[StreamDelta]:
        for item in answer:
            if isinstance(item, float):
                await asyncio.sleep(item)
            else:
                yield item


def pieces(*gaps: float) -> list[Any]:
    found: list[Any] = []
    for gap in gaps:
        found += [gap, StreamDelta(content="x")]
    return [*found, StreamDelta(finish_reason="stop", final=True)]


class TestLimitsOfTime:
    @pytest.mark.parametrize(
        ("policy", "answer", "passes_at", "said"),
        [
            (StreamPolicy(first_delta_timeout=2.0), pieces(3.0), 2.0, ""),
            (StreamPolicy(gap_timeout=2.0), pieces(1.0, 1.5, 1.9, 2.1), 6.4, "xxx"),
            (StreamPolicy(total_timeout=5.0), pieces(1.0, 1.0, 1.0, 1.0, 1.0, 1.0), 5.0, "xxxx"),
            (StreamPolicy(first_delta_timeout=9.0, gap_timeout=1.0), pieces(8.0, 2.0), 9.0, "x"),
            (StreamPolicy(first_delta_timeout=1.0, gap_timeout=9.0, total_timeout=10.0), pieces(0.5, 8.0, 8.0), 10.0, "xx"),
            (StreamPolicy(first_delta_timeout=2.0), [StreamDelta(content="x"), *pieces(3.0)], None, "xx"),
        ],
    )
    def test_any_provider_is_waited_for_so_long(self, policy: StreamPolicy, answer: list[Any], passes_at: float | None, said: str) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent = spawn_agent(world, Slow(list(answer)), policy=policy)
                append_message(world, agent.entity, "go")
                result = await Runner().run(world)
                assert agent.messages[-1].content == (said or "go")
                error = result[agent.entity].error
                if passes_at is None:
                    assert error is None
                    return
                assert isinstance(error, ProviderTimeoutError)
                assert error.partial is not None
                assert error.partial.message.content == said
                assert asyncio.get_running_loop().time() == pytest.approx(passes_at)
                assert check_world(world) == []

        run(main)

    def test_a_limit_that_has_passed_is_a_drop(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent = spawn_agent(world, Slow(pieces(0.1, 99.0), whole("quick")), policy=StreamPolicy("retry", gap_timeout=1.0))
                assert await agent.ask("go") == "quick"
                assert check_world(world) == []

        run(main)

    def test_a_whole_answer_has_a_limit_too(self) -> None:
        class Whole:
            async def complete(self, messages: Any, stream: bool = False, **_: Any) -> CompletionResult:
                await asyncio.sleep(99.0)
                return CompletionResult(Message("assistant", "late"))

        async def main() -> None:
            async with new_world() as world:
                agent = spawn_agent(world, Whole(), policy=StreamPolicy(total_timeout=3.0))
                world.add_component(agent.entity, StreamingComponent(enabled=False))
                with pytest.raises(ProviderTimeoutError, match="total_timeout"):
                    await agent.ask("go")
                assert asyncio.get_running_loop().time() == pytest.approx(3.0)

        run(main)

    def test_a_consumer_that_holds_the_stream_back_is_not_its_silence(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent = spawn_agent(world, Slow(pieces(*[0.1] * 10)), policy=StreamPolicy(gap_timeout=1.0))
                async with world.events(agent.entity, types=(StreamDeltaEvent,), policy=Block(limit=1, patience=60.0)) as events:
                    asking = asyncio.ensure_future(agent.ask("go"))
                    async for _ in events:
                        await asyncio.sleep(5.0)
                        if asking.done() or len(agent.messages) > 1:
                            break
                assert await asking == "x" * 10

        run(main)

    def test_a_provider_that_swallows_its_cancel_gets_no_further(self) -> None:
        class Stubborn:
            async def complete(self, messages: Any, **_: Any) -> AsyncIterator[StreamDelta]:
                return self._play()

            async def _play(self) -> AsyncIterator[StreamDelta]:
                yield StreamDelta(content="x")
                try:
                    await asyncio.sleep(99.0)
                except asyncio.CancelledError:
                    pass
                yield StreamDelta(content="late")
                await asyncio.sleep(99.0)

        async def main() -> None:
            async with new_world() as world:
                later = Slow(pieces(0.1, 99.0), whole("fine"))  # in the same task, which must not think that it is cancelled still
                agent = spawn_agent(world, Stubborn(), policy=StreamPolicy("retry", gap_timeout=1.0, fallbacks=(later,)))
                assert await agent.ask("go") == "fine"
                assert [end.message.content for end in ends(world)[:2]] == ["x", "x"]
                assert check_world(world) == []

        run(main)

    def test_a_cancel_from_outside_is_no_timeout(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent = spawn_agent(world, Slow(pieces(0.1, 99.0)), policy=StreamPolicy("retry", gap_timeout=1.0))
                append_message(world, agent.entity, "go")
                running = asyncio.ensure_future(Runner().run(world))
                await asyncio.sleep(0.5)
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running
                assert agent.messages[-1] == Message("assistant", "x", interrupted=True)

        run(main)


class TestOrphans:
    """An answer in hand that nobody takes in any more: what a restart finds, or a fork."""

    def found(self, world: World, provider: Any, policy: StreamPolicy | None, resume: str | None = None) -> Agent:
        agent = spawn_agent(world, provider, policy=policy, messages=[Message("user", "go")])
        world.add_component(agent.entity, TurnComponent(run=1, turn=3, attempt=1, usage=Usage(10, 10, 20)))
        world.add_component(agent.entity, StreamStateComponent(1, [StreamDelta(content="half an ")], received=1, resume=resume))
        return agent

    @pytest.mark.parametrize(("policy", "resume"), [(None, None), (StreamPolicy(), None), (StreamPolicy(on_restore="continue"), "restart")])
    def test_it_is_taken_back_and_the_same_turn_asked_again(self, policy: StreamPolicy | None, resume: str | None) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent = self.found(world, Scripted(whole("an answer", Usage(1, 1, 2))), policy, resume)
                await Runner().run(world)
                assert agent.messages[1:] == [Message("assistant", "an answer")]
                assert ends(world)[0] == AttemptDiscarded(
                    agent.entity, Message("assistant", "half an ", interrupted=True), Usage(0, 2, 2, estimated=True)
                )
                turn = turn_of(agent)
                assert (turn.turn, turn.attempt, turn.usage) == (3, 2, Usage(11, 13, 24, estimated=True))
                assert check_world(world) == []

        run(main)

    @pytest.mark.parametrize(("policy", "resume"), [(StreamPolicy(on_restore="continue"), None), (None, "continue")])
    def test_it_goes_on(self, policy: StreamPolicy | None, resume: str | None) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent = self.found(world, Scripted(whole("answer")), policy, resume)
                await Runner().run(world)
                assert agent.messages[1:] == [Message("assistant", "half an answer")]
                assert [type(end) for end in ends(world)] == [AttemptContinued, StreamEndEvent]
                assert turn_of(agent).turn == 3
                assert check_world(world) == []

        run(main)

    @pytest.mark.parametrize(("policy", "resume"), [(StreamPolicy(on_restore="interrupted"), None), (None, "interrupted")])
    def test_it_is_kept_and_the_agent_rests(self, policy: StreamPolicy | None, resume: str | None) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent = self.found(world, Scripted(), policy, resume)
                await Runner().run(world)
                assert agent.messages[1:] == [Message("assistant", "half an ", interrupted=True)]
                assert world.has_component(agent.entity, InterruptionComponent)
                assert turn_of(agent).usage == Usage(10, 12, 22, estimated=True)
                assert not turn_of(agent).broken  # as after a cancel, so that it is not taken back when the agent goes on
                assert check_world(world) == []

        run(main)

    def test_it_begins_anew_where_it_cannot_go_on(self) -> None:
        async def main() -> None:
            class Whole:
                async def complete(self, messages: Any, stream: bool = False, **_: Any) -> CompletionResult:
                    return CompletionResult(Message("assistant", "whole"))

            async with new_world() as world:
                agent = self.found(world, Whole(), StreamPolicy(on_restore="continue"))
                world.add_component(agent.entity, StreamingComponent(enabled=False))
                await Runner().run(world)
                assert agent.messages[1:] == [Message("assistant", "whole")]
                assert [type(end) for end in ends(world)] == [AttemptDiscarded, StreamEndEvent]

        run(main)

    def test_it_is_dealt_with_even_where_nobody_waits_for_an_answer(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent = self.found(world, Scripted(whole("answer")), StreamPolicy(on_restore="continue"))
                append_message(world, agent.entity, Message("assistant", "said meanwhile"))
                await Runner().run(world)
                assert not world.has_component(agent.entity, StreamStateComponent)
                assert check_world(world) == []

        run(main)

    def test_what_it_had_cost_counts_in_the_ledger(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent = self.found(world, Scripted(whole("answer", Usage(1, 1, 2))), None)
                world.add_component(agent.entity, LimitsComponent(tree_tokens=1_000))
                await Runner().run(world)
                spent = world.resource(Ledger, Ledger).spent(agent.entity)
                assert (spent.tokens, spent.turns) == (20 + 2 + 2, 3)

        run(main)

    @pytest.mark.parametrize("limits", [LimitsComponent(tokens=21), LimitsComponent(tree_tokens=21)])
    def test_a_limit_that_it_has_reached_keeps_it(self, limits: LimitsComponent) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent = self.found(world, Scripted(), None)
                world.add_component(agent.entity, limits)
                result = await Runner().run(world)
                assert result[agent.entity].reason is EndReason.TERMINAL
                assert agent.messages[1:] == [Message("assistant", "half an ", interrupted=True)]
                assert check_world(world) == []

        run(main)

    def test_one_without_a_turn_belongs_to_the_first(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent = spawn_agent(world, Scripted(whole("answer")), messages=[Message("user", "go")])
                world.add_component(agent.entity, StreamStateComponent(1, [StreamDelta(content="half")]))
                await Runner().run(world)
                assert (turn_of(agent).run, turn_of(agent).turn) == (1, 1)
                assert check_world(world) == []

        run(main)


class TestWhatIsADrop:
    @pytest.mark.parametrize("kind", ProviderError.__subclasses__())
    def test_what_asking_again_can_mend(self, kind: type[ProviderError]) -> None:
        never = {ErrorKind.AUTH, ErrorKind.BAD_REQUEST, ErrorKind.CONTEXT_LENGTH, ErrorKind.CONTENT_FILTER, ErrorKind.QUOTA}
        assert is_dropped(kind("x")) is (kind.kind not in never)

    def test_an_error_that_says_that_it_is_useless_is_believed_and_one_of_the_request_never_is(self) -> None:
        assert not is_dropped(ServerError("x", retryable=False))
        assert not is_dropped(AuthenticationError("x", retryable=True))
        assert is_dropped(MalformedResponseError("x"))

    @pytest.mark.parametrize(
        ("error", "expected"), [(ConnectionResetError(), True), (TimeoutError(), True), (KeyError("x"), False), (OSError(), False)]
    )
    def test_errors_of_providers_that_know_none_of_ours(self, error: Exception, expected: bool) -> None:
        assert is_dropped(error) is expected

    def test_without_a_policy_nothing_is_asked_again(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                provider = Scripted(HALF, whole("never"))
                with pytest.raises(StreamInterruptedError):
                    await spawn_agent(world, provider, policy=StreamPolicy()).ask("go")
                assert len(provider.requests) == 1

        run(main)


class TestTheWait:
    @pytest.mark.parametrize(("drops", "expected"), [(1, 0.5), (2, 1.0), (4, 4.0), (9, 30.0), (5_000, 30.0)])
    def test_it_doubles_up_to_half_a_minute(self, drops: int, expected: float) -> None:
        assert wait_before(StreamPolicy("retry"), drops, LOST, same=True) == expected

    def test_a_server_may_ask_for_longer_but_not_for_less(self) -> None:
        assert wait_before(StreamPolicy("retry"), 1, RateLimitError("x", retry_after=40.0), same=True) == 40.0
        assert wait_before(StreamPolicy("retry"), 3, RateLimitError("x", retry_after=1.0), same=True) == 2.0
        assert wait_before(StreamPolicy("retry"), 1, RateLimitError("x", retry_after=1e9), same=True) == 3600.0

    def test_what_one_server_asks_for_does_not_keep_another_waiting(self) -> None:
        assert wait_before(StreamPolicy("retry"), 1, RateLimitError("x", retry_after=40.0), same=False) == 0.5

    def test_an_agent_waits_so_long(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                busy: list[Any] = [StreamDelta(content="x"), RateLimitError("busy", retry_after=40.0)]
                assert await spawn_agent(world, Scripted(busy, whole("ok")), policy=StreamPolicy("retry")).ask("go") == "ok"
                assert asyncio.get_running_loop().time() == pytest.approx(40.0)

        run(main)
