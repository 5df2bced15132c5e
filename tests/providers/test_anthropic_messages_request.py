"""Writing requests of the Messages protocol: options, thinking, structured answers, and what the server is to keep."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.anthropic_messages.request import Manner, count_body, encode_request
from ecs_agent.providers.protocol import ModelRequest, RequestOptions
from ecs_agent.types import Message, OpaquePart, ReasoningPart, TextPart, ToolCall, ToolSchema

USER = Message("user", "?")
SCHEMA = ToolSchema("f", "Does f.", {"type": "object", "properties": {}})
TOOL = {"name": "f", "description": "Does f.", "input_schema": {"type": "object", "properties": {}}}
MARK = {"cache_control": {"type": "ephemeral"}}
NEW, OLD, ANCIENT = "claude-opus-5", "claude-sonnet-4-5", "claude-3-5-haiku-latest"
NOTHING = Manner(1000, caching="none")


def body(*messages: Message, model: str = NEW, manner: Manner = NOTHING, stream: bool = False, **options: Any) -> dict[str, Any]:
    return encode_request(ModelRequest(model, messages or (USER,), stream, RequestOptions(**options)), manner)  # type: ignore[typeddict-item]


def beyond(plain: dict[str, Any]) -> dict[str, Any]:
    """What a body holds beside the least there is."""
    return {name: value for name, value in plain.items() if name not in ("model", "max_tokens", "messages")}


def test_the_least_there_is() -> None:
    assert body(temperature=None) == {"model": NEW, "max_tokens": 1000, "messages": [{"role": "user", "content": [{"type": "text", "text": "?"}]}]}


def test_options_are_sent_in_the_protocols_words() -> None:
    sent = body(
        Message("system", "s"), USER, stream=True, max_tokens=5, temperature=0.5, top_p=0.9, stop="The end", metadata={"user_id": "u"}, extra_body={"top_k": 2, "temperature": 1}
    )  # fmt: skip
    assert sent["max_tokens"] == 5
    assert beyond(sent) == {
        "system": "s", "temperature": 1, "top_p": 0.9, "stop_sequences": ["The end"], "metadata": {"user_id": "u"}, "stream": True, "top_k": 2,
    }  # fmt: skip
    assert body(stop=("a", "b"))["stop_sequences"] == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 1}, "no seed"),
        ({"logit_bias": {"1": 1.0}}, "no logit_bias"),
        ({"logprobs": True}, "no logprobs"),
        ({"top_logprobs": 2}, "no top_logprobs"),
        ({"metadata": {"run": "7"}}, "'run'"),
        (
            {"response_format": {"type": "json_object"}},
            "^the Messages API has no format 'json_object'; give a json_schema, which says what is in the answer$",
        ),
        ({"response_format": {"type": "json_schema"}}, "no format 'json_schema'; give a json_schema, which says what is in the answer"),
    ],
)
def test_what_the_protocol_has_no_words_for_is_refused(options: Any, words: str) -> None:
    with pytest.raises(UnsupportedFeatureError, match=words):
        body(**options)


def test_an_option_that_is_given_once_is_sent_as_it_is() -> None:
    assert beyond(body(temperature=0.5)) == {"temperature": 0.5}
    assert beyond(body(top_p=0.25)) == {"top_p": 0.25}


def test_options_that_ask_for_nothing_are_not_refused() -> None:
    assert beyond(body(logprobs=False, seed=None, stop=[], metadata={}, parallel_tool_calls=True, response_format=None)) == {}


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, None),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": "f"}, {"type": "tool", "name": "f"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"tool_choice": "required", "parallel_tool_calls": False}, {"type": "any", "disable_parallel_tool_use": True}),
    ],
)
def test_a_choice_of_tools(options: Any, sent: Any) -> None:
    made = body(tools=[SCHEMA], **options)
    assert (made["tools"], made.get("tool_choice")) == ([TOOL], sent)


def test_a_choice_among_no_tools_is_only_sent_where_it_demands_one() -> None:
    assert beyond(body(tool_choice="none", parallel_tool_calls=False)) == {}
    assert beyond(body(tool_choice="f")) == {"tool_choice": {"type": "tool", "name": "f"}}
    assert beyond(body(tool_choice="required")) == {"tool_choice": {"type": "any"}}
    assert body(tool_choice="none", extra_body={"tools": [{"type": "web_search_20250305"}]})["tool_choice"] == {"type": "none"}


def test_a_tool_without_a_description_or_a_type() -> None:
    assert body(tools=[ToolSchema("f", "", {})])["tools"] == [{"name": "f", "input_schema": {"type": "object"}}]


class TestThinking:
    @pytest.mark.parametrize(
        ("model", "effort", "sent"),
        [
            (NEW, "high", "high"),
            (NEW, "xhigh", "xhigh"),
            (NEW, "max", "max"),
            (NEW, "minimal", "low"),
            ("claude-opus-4-6", "xhigh", "high"),
            ("some-other-model", "low", "low"),
        ],
    )
    def test_a_model_of_today_decides_itself_how_long_by_the_effort(self, model: str, effort: str, sent: str) -> None:
        made = beyond(body(model=model, reasoning_effort=effort))
        assert made == {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": sent}}

    @pytest.mark.parametrize(
        ("effort", "most", "budget"),
        [("minimal", 32000, 1024), ("low", 32000, 2048), ("max", 32000, 24000), ("high", 4001, 3000), ("high", 1100, 1024)],
    )
    def test_an_older_one_is_given_a_budget_that_leaves_room_for_the_answer(self, effort: str, most: int, budget: int) -> None:
        assert beyond(body(model=OLD, reasoning_effort=effort, max_tokens=most)) == {"thinking": {"type": "enabled", "budget_tokens": budget}}

    @pytest.mark.parametrize(
        ("model", "options", "words"),
        [
            (ANCIENT, {"reasoning_effort": "low"}, "does not think"),
            (OLD, {"reasoning_effort": "low", "max_tokens": 1024}, "more than 1024"),
            (OLD, {"reasoning_effort": "lots", "max_tokens": 4000}, "one of minimal, low"),
        ],
    )
    def test_what_an_older_model_cannot_is_said(self, model: str, options: Any, words: str) -> None:
        with pytest.raises(UnsupportedFeatureError, match=words):
            body(model=model, **options)

    def test_none_switches_it_off(self) -> None:
        assert beyond(body(reasoning_effort="none")) == {"thinking": {"type": "disabled"}}
        manner = Manner(1000, may_be_told_not_to_think=False, caching="none")
        assert beyond(body(reasoning_effort="none", manner=manner)) == {"output_config": {"effort": "low"}}

    def test_what_was_learned_counts_more_than_the_name(self) -> None:
        assert body(manner=Manner(9000, adaptive=False, caching="none"), reasoning_effort="low")["thinking"]["type"] == "enabled"
        assert body(model=OLD, manner=Manner(9000, adaptive=True, caching="none"), reasoning_effort="low")["thinking"]["type"] == "adaptive"

    @pytest.mark.parametrize("choice", ["auto", "none"])
    def test_who_is_not_made_to_call_thinks(self, choice: str) -> None:
        assert body(reasoning_effort="high", tools=[SCHEMA], tool_choice=choice)["thinking"]["type"] == "adaptive"
        assert body(model=OLD, reasoning_effort="high", max_tokens=9000, tools=[SCHEMA], tool_choice=choice)["thinking"]["type"] == "enabled"

    @pytest.mark.parametrize("choice", ["required", "f"])
    def test_who_is_made_to_call_does_not_think(self, choice: str) -> None:
        assert "thinking" not in body(reasoning_effort="high", tools=[SCHEMA], tool_choice=choice)
        assert "thinking" not in body(model=OLD, reasoning_effort="high", max_tokens=9000, tools=[SCHEMA], tool_choice=choice)

    def test_nor_who_goes_on_within_a_budget_with_what_it_had_not_thought_about(self) -> None:
        history = [USER, Message("assistant", tool_calls=[ToolCall("c", "f")]), Message("tool", "ok", tool_call_id="c")]
        assert "thinking" not in body(*history, model=OLD, reasoning_effort="high", max_tokens=9000)
        assert "thinking" in body(*history, reasoning_effort="high")

    def test_thoughts_before_last_words_are_sent_only_to_who_thinks(self) -> None:
        begun = Message("assistant", parts=[ReasoningPart("t"), OpaquePart("anthropic", {"signature": "S"}), TextPart("a")])

        def kinds(**options: Any) -> list[str]:
            return [found["type"] for found in body(USER, begun, **options)["messages"][1]["content"]]

        assert kinds() == kinds(reasoning_effort="none") == ["text"]
        assert kinds(reasoning_effort="low") == kinds(extra_body={"thinking": {"type": "adaptive"}}) == ["thinking", "text"]


def test_a_structured_answer_is_asked_for_by_its_schema_however_the_option_is_called() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {}}, "strict": True}}
    sent = {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {}, "additionalProperties": False}}}
    assert body(response_format=wanted)["output_config"] == sent
    assert body(output_format=wanted)["output_config"] == sent
    assert body(response_format=wanted, reasoning_effort="low")["output_config"] == {**sent, "effort": "low"}
    assert body(response_format=sent["format"])["output_config"] == sent
    assert beyond(body(response_format=wanted, reasoning_effort="none")) == {"thinking": {"type": "disabled"}, "output_config": sent}
    told = Manner(1000, may_be_told_not_to_think=False, caching="none")
    assert beyond(body(response_format=wanted, reasoning_effort="none", manner=told)) == {"output_config": {**sent, "effort": "low"}}


class TestCaching:
    AUTO, ALWAYS = Manner(1000), Manner(1000, caching="always")

    @pytest.mark.parametrize(("manner", "marked"), [(AUTO, False), (ALWAYS, True), (NOTHING, False)])
    def test_a_lone_question_is_kept_only_if_always(self, manner: Manner, marked: bool) -> None:
        sent = body(Message("system", "s"), USER, manner=manner)
        assert ("cache_control" in sent["messages"][0]["content"][0], sent["system"] != "s") == (marked, marked)

    def test_with_tools_the_beginning_and_the_end_are_marked(self) -> None:
        sent = body(Message("system", "s"), USER, manner=self.AUTO, tools=[SCHEMA])
        assert sent["system"] == [{"type": "text", "text": "s", **MARK}]
        assert sent["tools"] == [TOOL]
        assert sent["messages"][0]["content"] == [{"type": "text", "text": "?", **MARK}]
        tools = [SCHEMA, ToolSchema("g", "", {}), ToolSchema("h", "", {})]
        plain = body(tools=tools)["tools"]
        assert [tool["name"] for tool in plain] == ["f", "g", "h"]
        assert body(manner=self.AUTO, tools=tools)["tools"] == [*plain[:2], {**plain[2], **MARK}]

    def test_in_a_conversation_the_last_two_things_the_user_said_are_marked(self) -> None:
        sent = body(USER, Message("assistant", "a"), USER, Message("assistant", "b"), USER, manner=self.AUTO)["messages"]
        assert ["cache_control" in turn["content"][-1] for turn in sent] == [False, False, True, False, True]

    def test_what_cannot_be_marked_is_not(self) -> None:
        asked = OpaquePart("anthropic", {"type": "server_tool_use", "id": "s", "name": "n", "input": {}})
        sent = body(USER, Message("assistant", parts=[asked]), manner=self.AUTO)["messages"]
        assert ["cache_control" in turn["content"][-1] for turn in sent] == [True, False]

    @pytest.mark.parametrize(
        "extra",
        [
            {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"messages": "odd"},
            {"messages": [{"role": "user", "content": "plain"}]},
            {"system": [{"type": "text", "text": "s", **MARK}], "messages": [{"role": "user", "content": []}]},
        ],
    )
    def test_what_the_user_wrote_is_left_alone(self, extra: dict[str, Any]) -> None:
        assert {name: body(manner=self.ALWAYS, extra_body=extra)[name] for name in extra} == extra

    def test_nor_are_tools_marked_behind_which_the_user_marked_a_system(self) -> None:
        own = {"system": [{"type": "text", "text": "s", **MARK}]}
        sent = body(manner=self.AUTO, tools=[SCHEMA], extra_body=own)
        assert (sent["system"], sent["tools"]) == (own["system"], [TOOL])

    def test_who_lets_the_server_choose_the_marks_gets_no_others(self) -> None:
        sent = body(manner=self.ALWAYS, extra_body={"cache_control": {"type": "ephemeral"}})
        assert "cache_control" not in sent["messages"][0]["content"][0]

    def test_the_messages_of_the_caller_are_not_changed(self) -> None:
        kept = OpaquePart("anthropic", {"type": "document", "source": {"type": "file", "file_id": "f"}})
        body(Message("user", [kept]), manner=self.ALWAYS)
        assert "cache_control" not in kept.data


def test_what_is_counted_is_the_request_without_what_makes_no_tokens() -> None:
    sent = body(
        Message("system", "s"), USER, tools=[SCHEMA], reasoning_effort="low", temperature=1.0, stop="x", stream=True, metadata={"user_id": "u"}
    )
    assert set(count_body(sent)) == {"model", "messages", "system", "tools", "thinking", "output_config"}
    assert all(sent[name] == value for name, value in count_body(sent).items())
