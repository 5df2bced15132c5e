"""An answer that is to be an object: a call of the model's is answered, whatever the provider made of it."""

from __future__ import annotations

from pydantic import BaseModel

from ecs_agent.providers.structured.object_answer import ObjectAnswer
from ecs_agent.types import CompletionResult, Message, StreamDelta, ToolCall, ToolCallFragment


class City(BaseModel):
    name: str


def test_a_whole_call_without_an_id_is_given_one() -> None:
    answer = ObjectAnswer(City, "tool", 3)
    said, result = answer.repair(CompletionResult(Message("assistant", tool_calls=[ToolCall("", "City", {"x": 1})])), ["name is missing"])
    assert said.tool_calls == [ToolCall("object_3", "City", {"x": 1})]
    assert (result.role, result.tool_call_id) == ("tool", "object_3")


def test_the_text_of_a_call_is_that_which_arrived() -> None:
    answer = ObjectAnswer(City, "tool", 1)
    assert answer.take([StreamDelta(tool_fragments=(ToolCallFragment(0, "c", "City", '{"name": '),)), StreamDelta("words")])
    assert answer.take([StreamDelta(tool_fragments=(ToolCallFragment(0, arguments='"Oslo"}'),))])
    assert not answer.take([StreamDelta(finish_reason="tool_calls")])
    assert answer.text_of(CompletionResult(Message("assistant"))) == '{"name": "Oslo"}'
    assert answer.shown().name == "Oslo"


def test_an_answer_without_anything_is_just_asked_again() -> None:
    assert [message.role for message in ObjectAnswer(City, "json", 1).repair(CompletionResult(Message("assistant")), ["it has no text"])] == ["user"]
