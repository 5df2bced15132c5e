"""The laws of a stream: what keeps them passes, and whoever breaks one is told which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from tests.testing import liars

from ecs_agent.errors import RateLimitError, StreamInterruptedError
from ecs_agent.providers import FakeProvider, OpenAIProvider, RetryProvider, Script
from ecs_agent.providers.protocol import ProviderLike
from ecs_agent.testing import BrokenLawError, Law, LoopbackServer, ScriptedTransport, assert_stream_laws, random_script, run
from ecs_agent.types import Message, ReasoningPart, StreamDelta, ToolCall, Usage

ASKED = 7
SCRIPTS = [
    Script("One two three four five.", usage=Usage(3, 2, 5)),
    Script(steps=[ReasoningPart("Hm."), "Let me see. ", 0.5, ToolCall("c1", "add", {"a": 1}), ToolCall("c2", "add", raw_arguments='{"a')]),
    Script(""),
    *[random_script(seed) for seed in range(10)],
]


class Generator:
    """What anybody may write: an object whose `complete` returns a plain async generator."""

    async def complete(self, messages: Sequence[Message], stream: bool = False) -> AsyncIterator[StreamDelta]:
        async def deltas() -> AsyncIterator[StreamDelta]:
            for word in ("One ", "two ", "three."):
                await asyncio.sleep(0.01)
                yield StreamDelta(word)
            yield StreamDelta(finish_reason="stop", final=True)

        return deltas()


@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
@pytest.mark.parametrize("delay", [0, 0.001])
def test_the_fake_provider_keeps_them_and_closes_everything(script: Script, delay: float) -> None:
    provider = FakeProvider([script] * ASKED, delay=delay)
    run(lambda: assert_stream_laws(provider, deterministic=True))
    assert len(provider.calls) == ASKED
    assert provider.open_streams == 0


@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
def test_the_openai_provider_keeps_them_over_a_transport(script: Script) -> None:
    transport = ScriptedTransport([script], delay=0.01)
    run(lambda: assert_stream_laws(OpenAIProvider("k", transport.base_url, "m", transport=transport), deterministic=True))
    assert all(request.closed.is_set() for request in transport.requests)


async def test_the_openai_provider_keeps_them_over_sockets() -> None:
    async with LoopbackServer([SCRIPTS[1]], delay=0.002) as server, OpenAIProvider("k", server.base_url, "m") as provider:
        await assert_stream_laws(provider, deterministic=True)
    assert len(server.requests) == ASKED
    assert all(request.closed.is_set() for request in server.requests)


def test_a_retry_provider_keeps_them() -> None:
    run(lambda: assert_stream_laws(RetryProvider(FakeProvider([SCRIPTS[1]] * ASKED)), deterministic=True))


def test_a_plain_generator_keeps_them() -> None:
    run(lambda: assert_stream_laws(Generator(), deterministic=True))


def test_a_stream_with_a_result_of_its_own_keeps_them() -> None:
    run(lambda: assert_stream_laws(liars.Honest(), deterministic=True))


def test_an_answer_that_fails_is_lawful_where_it_may_fail() -> None:
    script = Script(steps=["One two three.", StreamInterruptedError("lost")])
    run(lambda: assert_stream_laws(FakeProvider([script] * ASKED), may_fail=True))
    with pytest.raises(BrokenLawError, match="COMPLETE.*\n.*StreamInterruptedError: lost"):
        run(lambda: assert_stream_laws(FakeProvider([script] * ASKED)))


def test_a_provider_that_refuses_is_not_taken_for_one_that_keeps_them() -> None:
    with pytest.raises(BrokenLawError, match="slow down"):
        run(lambda: assert_stream_laws(FakeProvider([RateLimitError("slow down")] * ASKED), may_fail=True))


@pytest.mark.parametrize(
    ("liar", "law"),
    [
        (liars.DropsTheTail(), Law.COMPLETE),
        (liars.EndsTwice(), Law.ONE_FINAL),
        (liars.EndsWithoutAFinalDelta(), Law.ONE_FINAL),
        (liars.FinishesEarly(), Law.FINISH),
        (liars.CountsOneThingAndStoresAnother(), Law.FINISH),
        (liars.SaysOneThingAndStoresAnother(), Law.TEXT),
        (liars.LosesCalls(), Law.FOLD),
        (liars.ForgetsCalls(), Law.CUMULATIVE),
        (liars.InventsFragments(), Law.CUMULATIVE),
        (liars.PassesBrokenArgumentsOn(), Law.ARGUMENTS),
        (liars.GivesTwoCallsOneId(), Law.ARGUMENTS),
        (liars.TakesAPartForTheWhole(), Law.MARKED),
        (liars.RaisesItsOwnErrors(), Law.TYPED),
        (liars.LosesThePartial(), Law.PARTIAL),
        (liars.LeavesATask(), Law.NO_TASK),
        (liars.SwallowsACancel(), Law.AT_ONCE),
        (liars.MakesItsReaderWaitWhenItIsClosed(), Law.AT_ONCE),
        (liars.TakesItsTimeToClose(), Law.AT_ONCE),
        (liars.FailsItsReaderWhenItIsClosed(), Law.AT_ONCE),
        (liars.GoesOnAfterItWasClosed(), Law.ENDED),
        (liars.CannotBeClosed(), Law.ENDED),
        (liars.RefusesAWholeAnswer(), Law.COMPLETE),
        (liars.GivesHalfAnAnswer(), Law.MARKED),
        (liars.CountsWholeAnswersDifferently(), Law.WHOLE),
        (liars.RefusesStructuredOutputAsABug(), Law.STRUCTURED),
        (liars.SaysAnotherThingWhole(), Law.WHOLE),
        (liars.StreamsStructuredOutput(), Law.STRUCTURED),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, Law) else value.name,
)
def test_whoever_breaks_a_law_is_told_which(liar: ProviderLike, law: Law) -> None:
    with pytest.raises(AssertionError, match=f"broken law {law.name}: ") as caught:
        run(lambda: assert_stream_laws(liar, deterministic=True))
    assert isinstance(caught.value, BrokenLawError)
    assert caught.value.law is law
