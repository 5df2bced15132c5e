"""Messages as JSON data: short where they are simple, exact for all."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.streaming.drawn_values import calls, hostile, messages, objects, parts, texts, usages

from ecs_agent.store.json_text import dumps, loads
from ecs_agent.streaming.message_data import (
    message_from_data,
    message_to_data,
    messages_from_data,
    messages_to_data,
    part_from_data,
    part_to_data,
    schema_from_data,
    schema_to_data,
    tool_call_from_data,
    tool_call_to_data,
    usage_from_data,
    usage_to_data,
)
from ecs_agent.types import (
    AudioPart,
    CitationPart,
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
    Usage,
)


@given(messages)
def test_every_message_comes_back_equal(message: Message) -> None:
    back = message_from_data(loads(dumps(message_to_data(message))))
    assert back == message
    assert hash(back.role) == hash(message.role)
    assert [type(part) for part in back.parts] == [type(part) for part in message.parts]


@given(st.lists(messages, max_size=4))
def test_many_at_once_are_each_for_itself(several: list[Message]) -> None:
    data = messages_to_data(several)
    assert data == [message_to_data(message) for message in several]
    assert messages_from_data(data) == several


@given(parts)
def test_every_part_comes_back(part: Part) -> None:
    assert part_from_data(loads(dumps(part_to_data(part)))) == part


@given(calls, usages, st.builds(ToolSchema, texts, texts, objects))
def test_calls_usage_and_schemas_come_back(call: ToolCall, usage: Usage, schema: ToolSchema) -> None:
    assert tool_call_from_data(tool_call_to_data(call)) == call
    assert usage_from_data(usage_to_data(usage)) == usage
    assert schema_from_data(schema_to_data(schema)) == schema


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (Message("user", "Hello"), {"role": "user", "content": "Hello"}),
        (Message("assistant"), {"role": "assistant"}),
        (Message("user", parts=[TextPart("")]), {"role": "user", "content": ""}),
        (Message("tool", "4", tool_call_id="c1", is_error=True), {"role": "tool", "content": "4", "tool_call_id": "c1", "is_error": True}),
        (Message("user", "x", name="Ann"), {"role": "user", "content": "x", "name": "Ann"}),
        (Message("assistant", "x", interrupted=True), {"role": "assistant", "content": "x", "interrupted": True}),
        (
            Message("assistant", "See", [ToolCall("c1", "look", {"a": 1})]),
            {"role": "assistant", "parts": [{"tag": "text", "text": "See"}, {"tag": "tool_call", "id": "c1", "name": "look", "arguments": {"a": 1}}]},
        ),
        (Message("assistant", "", [ToolCall("c1", "look")]), {"role": "assistant", "parts": [{"tag": "tool_call", "id": "c1", "name": "look"}]}),
        (Message("user", [ImagePart(data=b"hi")]), {"role": "user", "parts": [{"tag": "image", "data": "aGk="}]}),
        (Message("user", [AudioPart(b"hi", "wav")]), {"role": "user", "parts": [{"tag": "audio", "data": "aGk="}]}),
        (
            Message("assistant", [ReasoningPart("hm", {"$sig": b"x"})]),
            {"role": "assistant", "parts": [{"tag": "reasoning", "text": "hm", "opaque": {"$$sig": {"$bytes": "eA=="}}}]},
        ),
    ],
)  # fmt: skip
def test_the_data_of_a_message(message: Message, data: dict[str, Any]) -> None:
    assert message_to_data(message) == data
    assert message_from_data(data) == message


def test_every_kind_of_part_has_a_form() -> None:
    each: list[Part] = [
        TextPart("t"), ImagePart(), FilePart(), AudioPart(b""), ReasoningPart("r"), RefusalPart("r"), CitationPart("u"), OpaquePart("s", {}),
        ToolCall("i", "n"),
    ]  # fmt: skip
    assert {type(part) for part in each} == set(get_args(Part))
    assert [part_to_data(part)["tag"] for part in each] == [type(part).tag for part in each]


def test_a_text_of_a_class_of_its_own_is_plain_text_in_data() -> None:
    class Markup(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "other"

    back = message_from_data(message_to_data(Message("user", Markup("<b>"))))
    assert back == Message("user", "<b>")
    assert type(back.content) is str


class Fancy(TextPart):
    """No part of ours."""


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (Message("user", parts=[Fancy("x")]), "a Fancy is no part of a message"),
        (Message("user", parts=[TextPart(3)]), "TextPart.text is a int, not text"),  # type: ignore[arg-type]
        (Message("user", "x", name=3), "Message.name is a int, not text"),  # type: ignore[arg-type]
        (Message("user", "x", interrupted=1), "Message.interrupted is a int, not true or false"),  # type: ignore[arg-type]
        (Message("user", parts=[ImagePart(data="x")]), "ImagePart.data is a str, not bytes"),  # type: ignore[arg-type]
        (Message("user", parts=[ImagePart(detail="huge")]), "ImagePart.detail is 'huge', none of auto, low, high"),  # type: ignore[arg-type]
        (Message("user", parts=[CitationPart("u", start=True)]), "CitationPart.start is a bool, not a whole number"),
        (Message("user", parts=[ToolCall("a", "b", [])]), "ToolCall.arguments is a list, not an object"),  # type: ignore[arg-type]
        (Message("user", parts=[OpaquePart("a", {"b": [object()]})]), "OpaquePart.data holds what cannot be saved: it is a object"),
        (Message("user", parts=[AudioPart(None)]), "AudioPart.data is null, not bytes"),  # type: ignore[arg-type]
    ],
)
def test_what_no_message_may_hold_is_refused_with_its_place(message: Message, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        message_to_data(message)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "a message is a NoneType"), ([], "a message is a list"), ("role", "a message is a str"), (3, "a message is a int"),
        ({}, "role is None"), ({"role": "boss"}, "role is 'boss'"), ({"role": []}, r"role is \[\]"),
        ({"role": "boss", "content": "x"}, "role is 'boss'"), ({"role": {}, "content": "x"}, "role is"),
        ({"role": "user", "content": 3}, "content is a int"), ({"role": "user", "content": None}, "content is a NoneType"),
        ({"role": "user", "content": "a", "parts": []}, "content and parts"),
        ({"role": "user", "parts": {}}, "parts is a dict"), ({"role": "user", "parts": None}, "parts is a NoneType"),
        ({"role": "user", "parts": [3]}, "a part is a int"), ({"role": "user", "parts": [{}]}, "tag None"),
        ({"role": "user", "parts": [{"tag": "hat"}]}, "tag 'hat'"), ({"role": "user", "parts": [{"tag": []}]}, "tag"),
        ({"role": "user", "parts": [{"tag": "text"}]}, "TextPart has no field 'text'"),
        ({"role": "user", "parts": [{"tag": "text", "text": None}]}, "TextPart.text is null"),
        ({"role": "user", "parts": [{"tag": "text", "text": "a", "size": 3}]}, "TextPart has a field 'size'"),
        ({"role": "user", "parts": [{"tag": "image", "data": "*"}]}, "ImagePart.data is not read: bytes are not written in base 64"),
        ({"role": "user", "parts": [{"tag": "image", "data": 3}]}, "ImagePart.data is not read"),
        ({"role": "user", "parts": [{"tag": "image", "detail": "huge"}]}, "ImagePart.detail is 'huge'"),
        ({"role": "user", "parts": [{"tag": "opaque", "source": "s", "data": {"$x": 1}}]}, "OpaquePart.data is damaged"),
        ({"role": "user", "parts": [{"tag": "opaque", "source": "s", "data": {"$tuple": []}}]}, "OpaquePart.data is a tuple, not an object"),
        ({"role": "user", "parts": [{"tag": "opaque", "source": "s", "data": []}]}, "OpaquePart.data is a list"),
        ({"role": "user", "parts": [{"tag": "citation", "url": "u", "start": 1.5}]}, "CitationPart.start is a float"),
        ({"role": "user", "parts": [{"tag": "citation", "url": "u", "start": True}]}, "CitationPart.start is a bool"),
        ({"role": "user", "content": "x", "name": 3}, "Message.name is a int"), ({"role": "user", "name": None}, "Message.name is null"),
        ({"role": "user", "content": "x", "is_error": 1}, "Message.is_error is a int"),
        ({"role": "user", "content": "x", "mood": 1}, "field 'mood'"), ({"role": "user", "mood": 1}, "field 'mood'"),
    ],
)  # fmt: skip
def test_damaged_data_is_refused_with_a_sentence(data: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        message_from_data(data)
    with pytest.raises(ValueError, match=sentence):
        messages_from_data([data])


def test_usage_is_no_object() -> None:
    with pytest.raises(ValueError, match="Usage is a list, not an object"):
        usage_from_data([])


@given(
    hostile
    | st.fixed_dictionaries(
        {"role": hostile | st.just("user")},
        optional={
            "parts": st.lists(
                hostile
                | st.fixed_dictionaries(
                    {"tag": st.sampled_from(["text", "opaque", "image"])}, optional={"data": hostile, "text": hostile, "source": texts}
                )
            ),
            "content": hostile,
            "name": hostile,
        },
    )
)
def test_whatever_data_there_is_only_a_value_error_comes(data: Any) -> None:
    try:
        message_from_data(data)
    except ValueError:
        pass
