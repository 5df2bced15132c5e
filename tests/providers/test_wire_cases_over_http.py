"""The wire cases through the providers: what the decoder makes of a body is what a user gets, with its status, its headers and its end, in every split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import pytest
from tests.providers.families import ANTHROPIC, CHAT, FAMILIES, GEMINI, RESPONSES
from tests.providers.wire import ABSENT, Case, Outcome, check, check_own, own_cases, shared_cases, splits, written, written_cases

from ecs_agent.errors import ProviderError
from ecs_agent.providers import AnthropicProvider, GeminiProvider, OpenAIProvider, OpenAIResponsesProvider
from ecs_agent.providers.http.provider import HTTPProvider
from ecs_agent.testing import Reply, ScriptedTransport, run
from ecs_agent.types import CompletionResult, Message, StreamDelta

HI = [Message("user", "Hi")]
KEY = "sk-canary-0123456789abcdef"
ADDRESS = "http://127.0.0.1/v1"
ROUNDS = 5
LARGE = 100_000

PROVIDERS: dict[str, Callable[[ScriptedTransport], HTTPProvider]] = {
    CHAT.name: lambda transport: OpenAIProvider(KEY, ADDRESS, "m", transport=transport),
    RESPONSES.name: lambda transport: OpenAIResponsesProvider(KEY, ADDRESS, "m", transport=transport),
    ANTHROPIC.name: lambda transport: AnthropicProvider(KEY, ADDRESS, "claude-test", transport=transport),
    GEMINI.name: lambda transport: GeminiProvider(KEY, ADDRESS, "gemini-3-flash", transport=transport),
}

SHARED_CASES = shared_cases(*FAMILIES.values())
WRITTEN_CASES = written_cases(*FAMILIES.values())
OWN_CASES = own_cases(*FAMILIES.values())


def named(cases: list[Case]) -> list[Any]:
    return [pytest.param(case, id=case.id) for case in cases]


def reply_of(case: Case, pieces: Sequence[bytes]) -> Reply:
    return Reply(pieces, case.status, case.headers, case.end)  # type: ignore[arg-type]


async def streamed(case: Case, pieces: Sequence[bytes]) -> Outcome:
    """What a user gets who reads a case's answer while it arrives."""
    deltas: list[StreamDelta] = []
    async with PROVIDERS[case.family.name](ScriptedTransport([reply_of(case, pieces)])) as provider:
        try:
            stream = await provider.complete(HI, stream=True)
            async for delta in stream:
                deltas.append(delta)  # noqa: PERF401 - what arrived before an error counts
        except ProviderError as error:
            return Outcome(deltas, error)
    assert facts(stream.result()) == facts(Outcome(deltas, None).result)
    return Outcome(deltas, None)


async def whole(case: Case) -> tuple[CompletionResult | None, ProviderError | None]:
    """What a user gets who waits for it: the answer, else the error and what had arrived."""
    async with PROVIDERS[case.family.name](ScriptedTransport([reply_of(case, case.pieces)])) as provider:
        try:
            return await provider.complete(HI), None
        except ProviderError as error:
            return error.partial, error


def facts(result: CompletionResult) -> tuple[object, ...]:
    return (result.message, result.usage, result.finish_reason, result.raw_finish_reason)


def holds(case: Case, hold: Callable[[Outcome], None]) -> None:
    """A case over HTTP: in every split what it expects, asked for whole the same, and of an error the partial that was delivered."""
    for pieces in islice(splits(case.pieces, ROUNDS), 2 if len(case.body) > LARGE else None):
        outcome = run(partial(streamed, case, pieces))
        hold(outcome)
        if outcome.error is not None and outcome.error.partial is not None:
            assert facts(outcome.error.partial) == facts(outcome.result)
    result, error = run(partial(whole, case))
    outcome = run(partial(streamed, case, case.pieces))
    assert type(error) is type(outcome.error)
    if result is not None:
        assert facts(result) == facts(outcome.result)


@pytest.mark.skipif(not SHARED_CASES, reason=ABSENT)
@pytest.mark.parametrize("case", named(SHARED_CASES))
def test_a_shared_case(case: Case) -> None:
    holds(case, lambda outcome: check(outcome, case.expect))


@pytest.mark.parametrize("case", named(WRITTEN_CASES))
def test_a_case_in_the_shared_form(case: Case) -> None:
    holds(case, lambda outcome: check(outcome, case.expect))


@pytest.mark.parametrize("case", named(OWN_CASES))
def test_a_case_of_our_own(case: Case) -> None:
    holds(case, lambda outcome: check_own(outcome, case.expect))


def test_an_answer_whose_every_chunk_says_that_it_is_over_is_read_to_its_end_however_long_it_takes() -> None:
    words = [f"{number} " for number in range(20)]
    pieces: list[bytes | float] = [piece for word in words for piece in (written({"parts": [word], "finish": "STOP"}, GEMINI), 1.5)]

    async def read() -> CompletionResult:
        async with PROVIDERS[GEMINI.name](ScriptedTransport([Reply(pieces)])) as provider:
            return await provider.complete(HI)

    assert run(read).message.content == "".join(words)
