"""Writing requests of the chat protocol."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest

from ecs_agent.providers.openai_chat.request import SHOWN_BELOW, encode_request
from ecs_agent.providers.protocol import ModelRequest, RequestOptions
from ecs_agent.testing import request_problems
from ecs_agent.types import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCall,
    ToolSchema,
)


def messages(*said: Message) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = encode_request(ModelRequest("m", said), include_usage=False)["messages"]
    return found


def body(**options: Any) -> dict[str, Any]:
    return encode_request(ModelRequest("m", [], False, RequestOptions(**options)), include_usage=True)  # type: ignore[typeddict-item]


def test_the_format_of_a_stream_is_called_as_that_of_a_whole_answer() -> None:
    wire = {"type": "json_schema", "json_schema": {"name": "City"}}
    assert body(output_format=wire)["response_format"] == body(response_format=wire)["response_format"] == wire
    assert "output_format" not in body(output_format=wire)


def test_plain_messages() -> None:
    assert messages(Message("system", "s"), Message("user", "u", name="ann")) == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u", "name": "ann"},
    ]


def test_a_call_and_its_result() -> None:
    call = ToolCall("c", "f", {"a": "ü"}, opaque={"openai-chat": {"extra_content": {"signature": "S"}}, "gemini": {"x": 1}})
    assert messages(Message("assistant", "", [call]), Message("tool", "42", tool_call_id="c", name="f")) == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": "ü"}'}, "extra_content": {"signature": "S"}}
            ],
        },
        {"role": "tool", "content": "42", "tool_call_id": "c"},
    ]


def test_thoughts_that_were_parts_of_the_content_go_back_as_parts_before_the_text() -> None:
    kept = OpaquePart("openai-chat", {"content_parts": [{"type": "thinking", "thinking": "t", "signature": "s"}], "reasoning_opaque": "o"})
    with_text, without = messages(Message("assistant", parts=[TextPart("a"), kept]), Message("assistant", parts=[kept]))
    assert with_text["content"] == [{"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "text", "text": "a"}]
    assert without["content"] == [{"type": "thinking", "thinking": "t", "signature": "s"}]
    assert (with_text["reasoning_opaque"], "content_parts" in with_text) == ("o", False)


def test_a_call_that_could_not_be_read_goes_back_as_an_object_that_says_so() -> None:
    """A strict server reads the arguments of the history, and refuses a request in which they are no JSON."""
    call = ToolCall("c1", "look", raw_arguments='{"city": "Par', arguments_error="They are not complete.")
    sent, _ = messages(Message("assistant", "", [call]))
    assert json.loads(sent["tool_calls"][0]["function"]["arguments"]) == {"invalid_arguments": '{"city": "Par'}


def test_images_audio_and_files() -> None:
    parts: list[Part] = [
        TextPart("see"),
        ImagePart(url="https://x.example/a.png", detail="low"),
        ImagePart(data=b"\x01"),
        AudioPart(b"\x02"),
        FilePart(file_id="f1"),
        FilePart(data=b"\x03", filename="a.pdf", media_type="application/pdf"),
        FilePart(data=b"\x04"),
    ]
    (sent,) = messages(Message("user", parts))
    assert sent["content"] == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQ=="}},
        {"type": "input_audio", "input_audio": {"data": "Ag==", "format": "wav"}},
        {"type": "file", "file": {"file_id": "f1"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,Aw=="}},
        {"type": "file", "file": {"filename": "file", "file_data": "data:application/octet-stream;base64,BA=="}},
    ]


def test_opaque_data_goes_back_to_where_it_came_from_and_nowhere_else() -> None:
    parts: list[Part] = [
        ReasoningPart("thought"),
        OpaquePart("openai-chat", {"reasoning_details": [{"signature": "S"}]}),
        OpaquePart("anthropic", {"signature": "T"}),
        TextPart("a"),
    ]
    assert messages(Message("assistant", parts)) == [{"role": "assistant", "content": "a", "reasoning_details": [{"signature": "S"}]}]


def test_a_refusal_goes_back_as_one() -> None:
    assert messages(Message("assistant", [RefusalPart("no")])) == [{"role": "assistant", "content": "", "refusal": "no"}]


def test_an_empty_answer_is_left_out() -> None:
    assert messages(Message("user", "a"), Message("assistant"), Message("assistant", name="ann")) == [{"role": "user", "content": "a"}]


def test_ids_of_calls_may_be_of_any_characters_and_are_made_shorter_where_they_are_too_long() -> None:
    call, answer = messages(Message("assistant", "", [ToolCall("functions.f:0", "f")]), Message("tool", "1", tool_call_id="functions.f:0"))
    assert call["tool_calls"][0]["id"] == answer["tool_call_id"] == "functions.f:0"
    call, answer = messages(Message("assistant", "", [ToolCall("ü" * 41, "f")]), Message("tool", "1", tool_call_id="ü" * 41))
    assert call["tool_calls"][0]["id"] == answer["tool_call_id"]
    assert len(answer["tool_call_id"]) == 40


def test_options_that_are_not_given_are_not_sent() -> None:
    assert body(temperature=None) == {"model": "m", "messages": []}


def test_options_are_sent_under_their_names() -> None:
    sent = body(
        temperature=0.0,
        max_tokens=5,
        stop=["x"],
        seed=1,
        reasoning_effort="low",
        extra_body={"temperature": 1, "top_k": 2},
    )
    assert sent == {
        "model": "m", "messages": [], "temperature": 1, "max_tokens": 5, "stop": ["x"], "seed": 1,
        "reasoning_effort": "low", "top_k": 2,
    }  # fmt: skip


def test_an_option_may_be_any_mapping() -> None:
    assert type(body(metadata=MappingProxyType({"a": "b"}))["metadata"]) is dict


def test_the_most_tokens_are_called_as_the_server_calls_them() -> None:
    request = ModelRequest("m", [], options=RequestOptions(max_tokens=5, temperature=0.5))
    assert encode_request(request, include_usage=False, limit="max_completion_tokens") == {
        "model": "m", "messages": [], "max_completion_tokens": 5, "temperature": 0.5,
    }  # fmt: skip


def test_how_tools_are_called_is_only_said_where_there_are_some() -> None:
    assert "parallel_tool_calls" not in body(parallel_tool_calls=False)
    assert body(parallel_tool_calls=False, tools=[ToolSchema("f", "", {})])["parallel_tool_calls"] is False
    assert body(parallel_tool_calls=False, extra_body={"tools": [{}]})["parallel_tool_calls"] is False


@pytest.mark.parametrize(
    ("choice", "sent"), [("auto", "auto"), ("none", "none"), ("required", "required"), ("f", {"type": "function", "function": {"name": "f"}})]
)
def test_a_choice_of_tools(choice: str, sent: Any) -> None:
    schema = ToolSchema("f", "Does f.", {"type": "object"})
    made = body(tools=[schema], tool_choice=choice)
    assert made["tools"] == [{"type": "function", "function": {"name": "f", "description": "Does f.", "parameters": {"type": "object"}}}]
    assert made["tool_choice"] == sent


@pytest.mark.parametrize(("choice", "sent"), [("auto", False), ("none", False), ("required", True), ("f", True)])
def test_where_there_are_no_tools_servers_refuse_a_choice_and_one_that_makes_no_difference_is_not_sent(choice: str, sent: bool) -> None:
    assert ("tool_choice" in body(tool_choice=choice)) is sent
    assert body(tool_choice=choice, extra_body={"tools": []})["tool_choice"]


@pytest.mark.parametrize(("usage", "options"), [(True, {"include_usage": True}), (False, None)])
def test_usage_is_asked_for_in_streams(usage: bool, options: Any) -> None:
    sent = encode_request(ModelRequest("m", [], stream=True), include_usage=usage)
    assert (sent["stream"], sent.get("stream_options")) == (True, options)


def test_what_tools_show_stands_in_a_users_message_behind_all_results_of_their_turn() -> None:
    """OpenAI: "Image URLs are only allowed for messages with role 'user'"."""
    calls = Message("assistant", tool_calls=[ToolCall("a", "draw"), ToolCall("b", "add"), ToolCall("c", "draw")])
    drawn, added = (
        Message("tool", [TextPart("A cat."), ImagePart(url="https://x.example/a.png")], tool_call_id="a"),
        Message("tool", "3", tool_call_id="b"),
    )
    alone = Message("tool", [ImagePart(url="https://x.example/c.png")], tool_call_id="c")
    behind = [
        {"type": "text", "text": "(The result of the call a:)"},
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
        {"type": "text", "text": "(The result of the call c:)"},
        {"type": "image_url", "image_url": {"url": "https://x.example/c.png"}},
    ]
    turn = [calls, drawn, added, alone]
    for rest in ([], [Message("user", "Well?")], [Message("assistant", "Two cats.")]):
        sent = messages(*turn, *rest)
        assert [message["content"] for message in sent[1:4]] == ["A cat.", "3", SHOWN_BELOW]
        assert sent[4] == {"role": "user", "content": behind}
        assert len(sent) == 5 + len(rest)
        assert request_problems("openai-chat", {"messages": sent}) == []
    wrong = messages(*turn)
    assert request_problems("openai-chat", {"messages": [*wrong[:1], {**wrong[1], "content": behind}, *wrong[2:]]}) == [
        "message 1, a result, has a part that is no text"
    ]
