"""Conversations in the words of the Gemini protocol."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.gemini_content.messages import STAND_IN, contents_of, system_text
from ecs_agent.providers.wire.call_results import NO_RESULT
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
)

ASKED = Message("user", "Go")


def contents(*said: Message, media_in_results: bool = True, stand_in: bool = False) -> list[dict[str, Any]]:
    return contents_of(said, media_in_results=media_in_results, stand_in=stand_in)


def said_by_model(*parts: Part) -> list[dict[str, Any]]:
    found = contents(Message("assistant", parts=parts))
    return found[0]["parts"] if found else []


def call(name: str = "f", call_id: str = "c", signature: str | None = None, **fields: Any) -> ToolCall:
    own = {**({"thoughtSignature": signature} if signature else {}), **fields}
    return ToolCall(call_id, name, {"a": 1}, opaque={"gemini": own} if own else None)


def result(text: str, call_id: str | None = "c", **more: Any) -> Message:
    return Message("tool", text, tool_call_id=call_id, **more)


def response(name: str, text: str, key: str = "result", **more: Any) -> dict[str, Any]:
    return {"functionResponse": {**more, "name": name, "response": {key: text}}}


class TestRoles:
    def test_neighbours_of_one_role_are_one_content(self) -> None:
        assert contents(Message("user", "a"), Message("user", "b"), Message("assistant", "c"), Message("assistant", "d"), Message("user", "e")) == [
            {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
            {"role": "model", "parts": [{"text": "c"}, {"text": "d"}]},
            {"role": "user", "parts": [{"text": "e"}]},
        ]

    def test_what_says_nothing_is_left_out(self) -> None:
        nothing = [
            Message("user", ""),
            Message("assistant", parts=[TextPart(""), ReasoningPart("hm"), CitationPart("u"), OpaquePart("openai-chat", {"x": 1})]),
        ]
        assert contents(*nothing, ASKED) == contents(ASKED)

    def test_system_messages_are_one_text_wherever_they_stand(self) -> None:
        said = [Message("system", "a"), ASKED, Message("system", ""), Message("system", "b")]
        assert system_text(said) == "a\n\nb"
        assert contents(*said) == contents(ASKED)

    def test_a_user_s_recording_is_a_part(self) -> None:
        assert contents(Message("user", [TextPart("Hear"), AudioPart(b"x", "mp3")])) == [
            {"role": "user", "parts": [{"text": "Hear"}, {"inlineData": {"mimeType": "audio/mp3", "data": "eA=="}}]}
        ]

    def test_a_system_message_is_text(self) -> None:
        with pytest.raises(UnsupportedFeatureError, match="a system message of the Gemini protocol is text; put the image into a user's message"):
            system_text([ASKED, Message("system", [ImagePart(data=b"x")])])

    def test_an_interrupted_answer_is_sent_as_it_is_and_a_refusal_as_what_was_said(self) -> None:
        assert contents(Message("assistant", "par", interrupted=True), Message("assistant", parts=[RefusalPart("no")])) == [
            {"role": "model", "parts": [{"text": "par"}, {"text": "no"}]}
        ]


class TestCalls:
    def test_results_stand_together_behind_their_calls_in_their_order(self) -> None:
        made = contents(
            ASKED, Message("assistant", "", [call("f", "1"), call("g", "2")]), result("two", "2"), Message("user", "and?"), result("one", "1")
        )
        assert made[1] == {
            "role": "model",
            "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}, {"functionCall": {"name": "g", "args": {"a": 1}}}],
        }
        assert made[2] == {"role": "user", "parts": [response("f", "one"), response("g", "two"), {"text": "and?"}]}

    def test_an_id_goes_back_where_the_protocol_gave_it(self) -> None:
        made = contents(ASKED, Message("assistant", "", [call(call_id="x_1", id="x")]), result("ok", "x_1"))
        assert made[1]["parts"] == [{"functionCall": {"id": "x", "name": "f", "args": {"a": 1}}}]
        assert made[2]["parts"] == [response("f", "ok", id="x")]

    def test_without_one_kept_that_of_a_call_is_its_own_in_a_message_of_the_protocol(self) -> None:
        ours = Message("assistant", "", [call("f", "x", signature="S"), call("g", "y"), call("h", "call_1_2")])
        made = contents(ASKED, ours, result("1", "x"), result("2", "y"), result("3", "call_1_2"))
        assert [part["functionCall"].get("id") for part in made[1]["parts"]] == ["x", "y", None]
        assert [part["functionResponse"].get("id") for part in made[2]["parts"]] == ["x", "y", None]

    @pytest.mark.parametrize(("source", "named"), [("gemini", {"id": "x", "name": "f"}), ("anthropic", {"name": "f"})])
    def test_a_part_that_only_the_protocol_reads_says_so_too(self, source: str, named: dict[str, Any]) -> None:
        *_, called = said_by_model(OpaquePart(source, {"executableCode": {"code": "1"}}), call("f", "x"))
        assert called == {"functionCall": {**named, "args": {"a": 1}}}

    def test_a_failure_is_an_error(self) -> None:
        assert contents(Message("assistant", "", [call()]), result("no", is_error=True))[1]["parts"] == [response("f", "no", "error")]

    def test_a_call_without_a_result_gets_one_that_says_so(self) -> None:
        made = contents(Message("assistant", "", [call("f", "1"), call("g", "2")]), result("two", "2"), Message("assistant", "done"))
        assert made[1]["parts"] == [response("f", NO_RESULT, "error"), response("g", "two")]

    def test_a_result_without_its_call_is_told_as_text(self) -> None:
        assert contents(result("lost"), Message("assistant", "", [call()]), result("ok"), result("again"), ASKED)[::2] == [
            {"role": "user", "parts": [{"text": "(The result of an earlier call of a tool: lost)"}]},
            {"role": "user", "parts": [response("f", "ok"), {"text": "(The result of an earlier call of a tool: again)"}, {"text": "Go"}]},
        ]

    def test_a_result_without_an_id_answers_the_call_of_its_name(self) -> None:
        made = contents(Message("assistant", "", [call("f", "1"), call("g", "2")]), result("g!", None, name="g"), result("f!", None, name="f"))
        assert made[1]["parts"] == [response("f", "f!"), response("g", "g!")]

    def test_calls_of_one_id_have_their_results_in_turn(self) -> None:
        made = contents(Message("assistant", "", [call("f"), call("f")]), result("one"), result("two"), result("three"))
        assert made[1]["parts"] == [response("f", "one"), response("f", "two"), {"text": "(The result of an earlier call of a tool: three)"}]

    def test_the_same_id_in_two_turns_is_two_calls(self) -> None:
        made = contents(Message("assistant", "", [call()]), result("one"), Message("assistant", "", [call()]), result("two"))
        assert [content["parts"] for content in made[1::2]] == [[response("f", "one")], [response("f", "two")]]

    def test_arguments_that_were_no_object_go_back_as_one(self) -> None:
        broken = ToolCall("c", "f", raw_arguments="{", arguments_error="broken")
        assert said_by_model(broken) == [{"functionCall": {"name": "f", "args": {"invalid_arguments": "{"}}}]

    def test_images_stand_inside_of_results_where_the_model_takes_them(self) -> None:
        picture, afar = ImagePart(data=b"x"), ImagePart(url="https://a.example/x.png")
        said = [
            Message("assistant", "", [call("f", "1"), call("g", "2")]),
            Message("tool", [TextPart("see"), picture, afar], tool_call_id="1"),
            result("ok", "2"),
        ]
        inline, linked = (
            {"inlineData": {"mimeType": "image/png", "data": "eA=="}},
            {"fileData": {"fileUri": "https://a.example/x.png", "mimeType": "image/png"}},
        )
        first = response("f", "see")
        with_image = {"functionResponse": {**first["functionResponse"], "parts": [inline]}}
        assert contents(*said)[1]["parts"] == [with_image, response("g", "ok"), linked]
        assert contents(*said, media_in_results=False)[1]["parts"] == [first, response("g", "ok"), inline, linked]


class TestSignatures:
    def test_a_call_has_its_signature_back(self) -> None:
        assert said_by_model(call(call_id="call_1_0", signature="S")) == [{"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "S"}]

    def test_that_of_a_text_goes_onto_the_characters_it_came_with(self) -> None:
        signed = OpaquePart("gemini", {"thoughtSignature": "S", "characters": 2})
        assert said_by_model(TextPart("Hello"), signed, TextPart("!")) == [{"text": "Hel"}, {"text": "lo", "thoughtSignature": "S"}, {"text": "!"}]
        assert said_by_model(TextPart("lo"), signed) == [{"text": "lo", "thoughtSignature": "S"}]
        assert said_by_model(TextPart("o"), signed) == [{"text": "o", "thoughtSignature": "S"}]

    def test_that_of_nothing_stands_on_nothing(self) -> None:
        signed = OpaquePart("gemini", {"thoughtSignature": "S", "characters": 0})
        nothing = {"text": "", "thoughtSignature": "S"}
        assert said_by_model(TextPart("Hello"), signed) == [{"text": "Hello"}, nothing]
        assert said_by_model(signed, signed) == [nothing, nothing]
        assert said_by_model(RefusalPart("No"), OpaquePart("gemini", {"thoughtSignature": "S", "characters": 2})) == [{"text": "No"}, nothing]

    def test_one_that_does_not_say_what_it_belongs_to_stands_on_nothing_unless_an_image_is_before_it(self) -> None:
        signed, image = OpaquePart("gemini", {"thoughtSignature": "S"}), {"inlineData": {"mimeType": "image/png", "data": "eA=="}}
        nothing = {"text": "", "thoughtSignature": "S"}
        assert said_by_model(TextPart("Hello"), signed) == [{"text": "Hello"}, nothing]
        assert said_by_model(signed) == [nothing]
        assert said_by_model(ImagePart(data=b"x"), OpaquePart("gemini", {"thoughtSignature": "S", "characters": 0})) == [image, nothing]

    def test_a_thought_goes_back_only_if_it_is_signed(self) -> None:
        signed = OpaquePart("gemini", {"thoughtSignature": "S", "characters": 2, "thought": True})
        assert said_by_model(ReasoningPart("So so"), signed, TextPart("a")) == [
            {"text": "so", "thought": True, "thoughtSignature": "S"},
            {"text": "a"},
        ]
        assert said_by_model(signed) == [{"text": "", "thought": True, "thoughtSignature": "S"}]

    def test_that_of_an_image_goes_onto_it(self) -> None:
        signed = OpaquePart("gemini", {"thoughtSignature": "S"})
        inline = {"mimeType": "image/png", "data": "eA=="}
        assert said_by_model(TextPart("a"), ImagePart(data=b"x"), signed) == [{"text": "a"}, {"inlineData": inline, "thoughtSignature": "S"}]
        assert said_by_model(FilePart(data=b"x", media_type="image/png"), signed) == [{"inlineData": inline, "thoughtSignature": "S"}]

    def test_parts_that_nobody_else_reads_go_back_as_they_came(self) -> None:
        code = {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "S"}
        assert said_by_model(TextPart("a"), OpaquePart("gemini", code), OpaquePart("anthropic", {"x": 1})) == [{"text": "a"}, code]

    def test_parts_of_nothing_are_none(self) -> None:
        assert said_by_model(OpaquePart("gemini", {}), TextPart("a")) == [{"text": "a"}]

    def test_the_first_call_of_each_step_of_this_turn_gets_the_documented_one_where_it_has_none(self) -> None:
        older, newer = Message("assistant", "", [call("old")]), Message("assistant", "", [call("f", "1"), call("g", "2")])
        said = [
            Message("user", "1"),
            older,
            result("ok"),
            Message("user", "2"),
            newer,
            result("ok", "1"),
            result("ok", "2"),
            Message("assistant", "", [call(signature="S")]),
            result("ok"),
        ]
        made = contents(*said, stand_in=True)
        calls = [part for content in made for part in content["parts"] if "functionCall" in part]
        assert [part.get("thoughtSignature") for part in calls] == [None, STAND_IN, None, "S"]
        assert STAND_IN not in repr(contents(*said))
        assert contents(Message("assistant", "", [call()]), stand_in=True)[0]["parts"][0]["thoughtSignature"] == STAND_IN
        assert newer.tool_calls == [call("f", "1"), call("g", "2")]


PARTS = st.one_of(
    st.builds(TextPart, st.text(max_size=5)),
    st.builds(ReasoningPart, st.text(max_size=5)),
    st.builds(RefusalPart, st.text(max_size=3)),
    st.builds(ImagePart, data=st.binary(max_size=3)),
    st.builds(AudioPart, st.binary(max_size=3)),
    st.builds(FilePart, data=st.binary(max_size=3), media_type=st.just("text/plain")),
    st.builds(CitationPart, st.text(max_size=3)),
    st.builds(
        OpaquePart,
        st.sampled_from(["gemini", "openai-chat", "anthropic"]),
        st.fixed_dictionaries(
            {}, optional={"thoughtSignature": st.sampled_from(["S", 7]), "characters": st.integers(-2, 9), "thought": st.booleans(), "x": st.just(1)}
        ),
    ),
    st.builds(
        ToolCall, st.sampled_from("abc"), st.sampled_from("fg"), opaque=st.sampled_from([None, {"gemini": {"id": "q"}}, {"anthropic": {"id": "q"}}])
    ),
)
MESSAGES = st.one_of(
    st.builds(Message, st.sampled_from(["user", "assistant"]), parts=st.lists(PARTS, max_size=4)),
    st.builds(lambda text, call_id: Message("tool", text, tool_call_id=call_id), st.text(max_size=3), st.sampled_from("abcd")),
    st.builds(Message, st.just("system"), st.text(max_size=3)),
)


@given(st.lists(MESSAGES, max_size=8), st.booleans(), st.booleans())
def test_any_conversation_is_valid(said: list[Message], media_in_results: bool, stand_in: bool) -> None:
    """Roles alternate, no content is empty, and behind the calls of a turn stand their results, by number, order and name."""
    made = contents_of(
        [message for message in said if message.role != "user" or not message.tool_calls], media_in_results=media_in_results, stand_in=stand_in
    )
    assert all(content["parts"] for content in made)
    assert all(before["role"] != after["role"] for before, after in pairwise(made))
    for before, after in zip(made, [*made, {"parts": []}][1:], strict=True):
        asked = [part["functionCall"]["name"] for part in before["parts"] if "functionCall" in part]
        answered = [part["functionResponse"]["name"] for part in after["parts"] if "functionResponse" in part]
        if before["role"] == "model":
            assert asked == answered
            assert all("functionResponse" in part for part in after["parts"][: len(answered)])
