"""Capabilities: each provider says what it can, those that stand before others say theirs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from ecs_agent.providers import Capabilities, FakeProvider, LocalProvider, OpenAIProvider, RetryProvider, capabilities_of
from ecs_agent.providers.capabilities import ASSUMED, common
from ecs_agent.providers.local import weights as local_weights
from ecs_agent.providers.local.provider import _without_echo
from ecs_agent.types import CompletionResult, Message, ToolCall

ABLE = Capabilities(prefill=True, continuation=False, tools=False, structured_output=False, images=False, reports_usage=False, context_window=9)

installed = pytest.mark.skipif(
    find_spec("xllamacpp") is None or local_weights.find() is None, reason="the embedded model is not installed: ecs-agent local install"
)


def test_of_a_provider_that_says_nothing_the_usual_is_assumed() -> None:
    assert capabilities_of(object()) == ASSUMED == Capabilities()

    class Odd:
        capabilities = "many"

    assert capabilities_of(Odd()) == ASSUMED


def test_providers_say_what_they_were_told() -> None:
    assert OpenAIProvider("key", model="m").capabilities == ASSUMED
    assert OpenAIProvider("key", model="m", capabilities=ABLE).capabilities == ABLE
    assert FakeProvider([]).capabilities == ASSUMED
    assert FakeProvider([], capabilities=ABLE).capabilities == ABLE
    assert RetryProvider(FakeProvider([], capabilities=ABLE)).capabilities == ABLE


def test_what_several_can_is_what_each_of_them_can() -> None:
    assert common([ABLE, ABLE]) == ABLE
    assert common([ABLE, ASSUMED]) == Capabilities(
        continuation=False, tools=False, structured_output=False, images=False, reports_usage=False, context_window=9
    )
    assert common([Capabilities(context_window=5), Capabilities(context_window=3)]).context_window == 3


def test_schemas_are_closed_where_one_of_several_wants_it() -> None:
    loose = Capabilities(strict_schemas=False)
    assert common([loose, ASSUMED]).strict_schemas
    assert not common([loose, loose]).strict_schemas


def test_a_local_model_says_its_window(tmp_path: Path) -> None:
    weights = tmp_path / "other.gguf"
    weights.write_bytes(b"")
    assert LocalProvider(weights, context=512).capabilities == Capabilities(images=False, context_window=512, strict_schemas=False)
    assert LocalProvider(weights, capabilities=ABLE).capabilities == ABLE


@installed
async def test_the_embedded_model_goes_on_behind_an_answer_that_broke_off_and_repeats_nothing_of_it() -> None:
    begun = "One, two, three, four"
    messages = [Message("user", "Count from one to ten in words, separated by commas."), Message("assistant", begun)]
    async with LocalProvider() as provider:
        assert provider.capabilities.prefill
        stream = await provider.complete(messages, stream=True, max_tokens=8)
        rest = "".join([delta.content or "" async for delta in stream])
        assert rest.startswith(", five, six")
        assert (await provider.complete(messages, max_tokens=8)).message.content == rest


class TestEcho:
    """What the model's server repeats of a message that it goes on behind."""

    def test_it_is_cut_off(self) -> None:
        messages = [Message("user", "Count."), Message("assistant", "One,")]
        assert _without_echo(CompletionResult(Message("assistant", "One, two")), messages).message == Message("assistant", " two")
        assert _without_echo(CompletionResult(Message("assistant", "One,")), messages).message == Message("assistant")

    @pytest.mark.parametrize(
        ("asked", "answer"),
        [
            (Message("user", "One,"), Message("assistant", "One, two")),
            (Message("assistant", "One,"), Message("assistant", "two")),
            (Message("assistant"), Message("assistant", "two")),
            (Message("assistant", "<tool_call>"), Message("assistant", tool_calls=[ToolCall("c", "f")])),
            (Message("assistant", "x"), Message("assistant")),
        ],
    )
    def test_anything_else_stays(self, asked: Message, answer: Message) -> None:
        result = CompletionResult(answer)
        assert _without_echo(result, [asked]) is result
        assert _without_echo(result, []) is result
