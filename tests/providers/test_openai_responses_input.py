"""Conversations as the input of the Responses protocol."""

from __future__ import annotations

import json
from itertools import zip_longest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.openai_responses.input import InputWriter, replay_key
from ecs_agent.providers.wire.call_results import NO_RESULT, orphan_text
from ecs_agent.types import (
    AudioPart,
    CitationPart,
    FilePart,
    ImagePart,
    JsonObject,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCall,
)

SOURCE = "openai-responses"


def items(*messages: Message, stored: bool = False, refused: set[str] | None = None, start: int = 0) -> list[JsonObject]:
    return InputWriter(stored=stored, refused=refused or set()).items(messages, start)


def kept(**item: Any) -> OpaquePart:
    return OpaquePart(SOURCE, item)


def says(*parts: Part) -> Message:
    return Message("assistant", parts=parts)


def calls(*ids: str) -> Message:
    return Message("assistant", tool_calls=[ToolCall(call_id, "f") for call_id in ids])


def result(call_id: str, text: str = "r") -> Message:
    return Message("tool", text, tool_call_id=call_id)


REASONING = kept(type="reasoning", id="rs_1", summary=[], encrypted_content="E", status="completed")


class TestMessages:
    def test_plain_ones(self) -> None:
        assert items(Message("user", "u", name="ann"), Message("assistant", "a"), Message("system", "s")) == [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "u"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
            {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "s"}]},
        ]

    def test_images_and_files(self) -> None:
        parts: list[Part] = [
            TextPart("see"),
            TextPart(""),
            ImagePart(url="https://x.example/a.png", detail="low"),
            ImagePart(data=b"\x01"),
            FilePart(file_id="f1"),
            FilePart(data=b"\x03", filename="a.pdf", media_type="application/pdf"),
            FilePart(),
        ]
        assert items(Message("user", parts))[0]["content"] == [
            {"type": "input_text", "text": "see"},
            {"type": "input_image", "image_url": "https://x.example/a.png", "detail": "low"},
            {"type": "input_image", "image_url": "data:image/png;base64,AQ==", "detail": "auto"},
            {"type": "input_file", "file_id": "f1"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,Aw=="},
            {"type": "input_file", "filename": "file", "file_data": "data:application/octet-stream;base64,"},
        ]

    @pytest.mark.parametrize("role", ["user", "assistant", "tool"])
    def test_audio_is_refused_with_a_word_on_what_to_do(self, role: Any) -> None:
        with pytest.raises(UnsupportedFeatureError) as refused:
            items(calls("c"), Message(role, parts=[AudioPart(b"x")], tool_call_id="c"))
        assert str(refused.value) == (
            "the Responses protocol takes no audio; send what is said as text, or ask with OpenAIProvider and a model that listens"
        )

    def test_what_says_nothing_is_left_out(self) -> None:
        assert items(Message("user"), Message("user", ""), Message("assistant"), says(ReasoningPart("hm"), TextPart("")), Message("system", "")) == []

    def test_a_text_that_citations_divide_is_one(self) -> None:
        (sent,) = items(says(TextPart("a"), CitationPart("https://x.example"), TextPart("b"), RefusalPart("no"), TextPart("c")))
        assert sent["content"] == [
            {"type": "output_text", "text": "ab"},
            {"type": "refusal", "refusal": "no"},
            {"type": "output_text", "text": "c"},
        ]

    def test_a_phase_is_that_of_the_next_text_alone(self) -> None:
        one, two = kept(type="message", phase="commentary"), kept(type="message", phase="final_answer")
        sent = items(says(one, TextPart("a"), two, TextPart("b"), kept(type="web_search_call", id="w"), TextPart("c")))
        assert [item.get("phase", item["type"]) for item in sent] == ["commentary", "final_answer", "web_search_call", "message"]

    def test_an_interrupted_message_is_sent_as_it_is(self) -> None:
        assert items(Message("assistant", "so f", interrupted=True)) == items(Message("assistant", "so f"))

    def test_images_and_files_of_an_assistant_are_shown_as_a_users(self) -> None:
        image = {"type": "input_image", "image_url": "data:image/png;base64,AQ==", "detail": "auto"}
        assert items(says(TextPart("a"), ImagePart(data=b"\x01"), FilePart(file_id="f"), TextPart("b"))) == [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
            {"type": "message", "role": "user", "content": [image]},
            {"type": "message", "role": "user", "content": [{"type": "input_file", "file_id": "f"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
        ]


class TestReplay:
    def test_a_reasoning_item_goes_back_without_nulls_and_status(self) -> None:
        item = kept(type="reasoning", id="rs_1", summary=[{"type": "summary_text", "text": "hm"}], encrypted_content="E", status=None, content=None)
        sent = items(says(ReasoningPart("hm"), item, TextPart("a")))
        assert sent[0] == {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "E"}
        assert items(says(REASONING, TextPart("a")))[0] == {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E"}

    def test_one_that_came_late_stands_where_its_thoughts_stand(self) -> None:
        sent = items(says(ReasoningPart("hm"), TextPart("a"), ToolCall("c", "f"), REASONING), result("c"))
        assert [item["type"] for item in sent] == ["reasoning", "message", "function_call", "function_call_output"]
        two = kept(type="reasoning", id="rs_2", summary=[], encrypted_content="E")
        sent = items(says(ReasoningPart("hm"), REASONING, TextPart("a"), two, TextPart("b")))
        assert [item["type"] for item in sent] == ["reasoning", "message", "reasoning", "message"]

    def test_one_that_nothing_follows_is_left_out(self) -> None:
        assert items(says(REASONING, kept(type="reasoning", id="rs_2", encrypted_content="E")), Message("user", "u"))[0]["role"] == "user"

    @pytest.mark.parametrize(("stored", "sent"), [(False, 1), (True, 2)])
    def test_one_that_is_no_more_than_an_id_is_sent_only_to_a_server_that_keeps_it(self, stored: bool, sent: int) -> None:
        assert len(items(says(kept(type="reasoning", id="rs_1", summary=[], encrypted_content=None), TextPart("a")), stored=stored)) == sent

    def test_thoughts_that_are_not_encrypted_are_sent(self) -> None:
        item = kept(type="reasoning", id="rs_1", summary=[], content=[{"type": "reasoning_text", "text": "hm"}], encrypted_content="")
        assert items(says(item, TextPart("a")))[0]["content"] == [{"type": "reasoning_text", "text": "hm"}]

    def test_items_of_built_in_tools_go_back_as_they_came(self) -> None:
        search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}
        assert items(says(OpaquePart(SOURCE, search), TextPart("a")))[0] == search

    def test_an_image_goes_back_within_its_item(self) -> None:
        item = kept(type="image_generation_call", id="ig_1", status="completed")
        assert items(says(item, ImagePart(data=b"\x01"), TextPart("a"))) == [
            {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "AQ=="},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
        ]

    @pytest.mark.parametrize(
        ("parts", "types"),
        [
            ([kept(type="web_search_call", id="w"), ImagePart(data=b"\x01")], ["web_search_call", "message"]),
            ([ImagePart(data=b"\x01"), kept(type="image_generation_call", id="ig")], ["message", "image_generation_call"]),
        ],
        ids=["behind another item", "before its item"],
    )
    def test_an_image_that_is_not_right_behind_an_item_of_images_is_not_its_result(self, parts: list[Part], types: list[str]) -> None:
        sent = items(says(*parts))
        assert ([item["type"] for item in sent], [item for item in sent if "result" in item]) == (types, [])

    def test_an_item_that_holds_a_result_keeps_it(self) -> None:
        item = kept(type="image_generation_call", id="ig", result="no base64!")
        assert items(says(item, ImagePart(data=b"\x01"))) == [item.data]

    @pytest.mark.parametrize(
        "item", [{}, {"type": 7}, {"type": "response", "id": "resp_1", "after": "d"}, {"type": "message", "phase": "commentary"}]
    )
    def test_what_is_no_item_is_not_sent(self, item: JsonObject) -> None:
        assert items(says(OpaquePart(SOURCE, item)), Message("user", parts=[OpaquePart(SOURCE, item)])) == []

    def test_data_of_other_families_is_set_aside(self) -> None:
        foreign = OpaquePart("anthropic", {"type": "thinking", "signature": "S"})
        call = ToolCall("c", "f", opaque={"gemini": {"signature": "S"}})
        sent = items(says(ReasoningPart("t", opaque={"anthropic": {}}), foreign, TextPart("a"), call), result("c"))
        assert [item["type"] for item in sent] == ["message", "function_call", "function_call_output"]
        assert "S" not in json.dumps(sent)

    def test_items_that_a_server_refused_are_not_sent_again(self) -> None:
        nameless = {"type": "new", "x": 1}
        refused = {replay_key(REASONING.data), replay_key(nameless)}
        assert [item["type"] for item in items(says(REASONING, OpaquePart(SOURCE, nameless), TextPart("a")), refused=refused)] == ["message"]

    def test_items_without_an_id_are_told_apart_by_what_they_hold(self) -> None:
        one, two = {"type": "new", "x": "\ud800"}, {"type": "new", "x": 2}
        assert items(says(OpaquePart(SOURCE, one), OpaquePart(SOURCE, two)), refused={replay_key(one)}) == [two]

    @pytest.mark.parametrize(
        ("call", "answer"),
        [
            ({"type": "custom_tool_call", "call_id": "c9"}, {"type": "custom_tool_call_output", "call_id": "c9", "output": "o"}),
            ({"type": "local_shell_call", "call_id": "c9"}, {"type": "local_shell_call_output", "id": "c9", "output": "o"}),
            ({"type": "mcp_approval_request", "id": "a1"}, {"type": "mcp_approval_response", "approval_request_id": "a1", "approve": True}),
        ],
    )
    def test_a_call_that_waits_for_the_client_is_sent_once_an_opaque_part_answers_it(self, call: JsonObject, answer: JsonObject) -> None:
        asked = says(REASONING, OpaquePart(SOURCE, call))
        assert items(asked) == []
        for role in ("user", "tool"):
            assert items(asked, Message(role, parts=[OpaquePart(SOURCE, answer)]))[1:] == [call, answer]

    def test_each_of_several_calls_that_wait_for_the_client_is_answered(self) -> None:
        sent = [{"type": f"custom_tool_call{end}", "call_id": name} for name in "ab" for end in ("", "_output")]
        assert (
            items(*[Message("assistant" if place % 2 == 0 else "user", parts=[OpaquePart(SOURCE, item)]) for place, item in enumerate(sent)]) == sent
        )

    def test_a_search_of_tools_that_the_server_ran_needs_no_answer(self) -> None:
        assert len(items(says(kept(type="tool_search_call", call_id=None, execution="server")))) == 1


class TestCalls:
    def test_a_call_and_its_result(self) -> None:
        call = ToolCall("call_1", "f", {"a": "ü"}, opaque={SOURCE: {"namespace": "n", "type": "no"}})
        assert items(says(call), result("call_1", "42")) == [
            {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": '{"a": "ü"}', "namespace": "n"},
            {"type": "function_call_output", "call_id": "call_1", "output": "42"},
        ]

    def test_a_result_with_an_image(self) -> None:
        shown = Message("tool", parts=[TextPart("see"), ImagePart(data=b"\x01")], tool_call_id="c")
        assert items(calls("c"), shown)[1]["output"] == [
            {"type": "input_text", "text": "see"},
            {"type": "input_image", "image_url": "data:image/png;base64,AQ==", "detail": "auto"},
        ]

    def test_a_call_that_could_not_be_read_goes_back_as_an_object_that_says_so(self) -> None:
        sent = items(says(ToolCall("c", "f", raw_arguments='{"a', arguments_error="no")))
        assert json.loads(sent[0]["arguments"]) == {"invalid_arguments": '{"a'}

    def test_a_call_without_a_result_gets_one_that_says_so(self) -> None:
        assert [(item["call_id"], item.get("output")) for item in items(calls("a", "b"), result("b"))] == [
            ("a", None),
            ("a", NO_RESULT),
            ("b", None),
            ("b", "r"),
        ]

    def test_a_result_whose_call_is_gone_is_told_as_text(self) -> None:
        gone = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": orphan_text(result("c"))}]}
        assert items(result("c"), Message("tool", "r")) == [gone, gone]

    @pytest.mark.parametrize("call_id", ["x" * 65, "functions.f:0", "", "ü"])
    def test_ids_that_no_server_would_make_are_written_otherwise_in_call_and_result_alike(self, call_id: str) -> None:
        call, answer = items(calls(call_id), result(call_id))
        assert call["call_id"] == answer["call_id"] != call_id
        assert items(calls(call_id), result(call_id)) == [call, answer]
        assert len(call["call_id"]) <= 64

    def test_an_id_that_was_used_before_is_written_otherwise(self) -> None:
        sent = items(calls("call_0"), result("call_0", "first"), calls("call_0"), result("call_0", "second"))
        assert [(item["call_id"], item.get("output")) for item in sent] == [
            ("call_0", None),
            ("call_0", "first"),
            ("call_0_2", None),
            ("call_0_2", "second"),
        ]

    def test_one_id_in_one_message_means_its_calls_in_their_order(self) -> None:
        *sent, told = items(calls("a", "a"), result("a", "first"), result("a", "second"), result("a", "too many"))
        assert told["role"] == "user"
        assert [(item["call_id"], item.get("output")) for item in sent] == [("a", None), ("a_2", None), ("a", "first"), ("a_2", "second")]

    def test_an_id_that_is_used_again_means_the_newer_call(self) -> None:
        sent = items(calls("a"), calls("a"), result("a"))
        assert [(item["call_id"], item.get("output")) for item in sent] == [("a", None), ("a", NO_RESULT), ("a_2", None), ("a_2", "r")]


class TestWhatTheServerKnows:
    def test_only_what_is_new_is_sent_and_results_name_the_calls_as_they_were(self) -> None:
        assert items(Message("user", "u"), calls("functions.f:0"), result("functions.f:0"), start=2) == [
            {"type": "function_call_output", "call_id": "functions.f:0", "output": "r"}
        ]

    def test_calls_that_wait_get_a_result(self) -> None:
        sent = items(calls("a", "b"), result("b"), Message("user", "u"), start=1)
        assert [(item.get("call_id"), item.get("output")) for item in sent] == [("a", NO_RESULT), ("b", "r"), (None, None)]

    def test_an_earlier_message_does_not_wait(self) -> None:
        sent = items(calls("a"), result("a"), Message("assistant", "done"), Message("user", "u"), start=3)
        assert [item["type"] for item in sent] == ["message"]


IDS = st.sampled_from(["a", "b", "x" * 70, "f:0", ""])
PARTS = st.one_of(
    st.builds(TextPart, st.sampled_from(["", "t"])),
    st.builds(ReasoningPart, st.just("hm")),
    st.just(REASONING),
    st.just(kept(type="custom_tool_call", call_id="z")),
    st.just(kept(type="web_search_call", id="w")),
    st.just(OpaquePart("anthropic", {"type": "thinking"})),
    st.builds(lambda call_id: ToolCall(call_id, "f"), IDS),
    st.just(ImagePart(data=b"\x01")),
    st.just(RefusalPart("no")),
)
MESSAGES = st.lists(
    st.one_of(
        st.builds(lambda parts: Message("assistant", parts=parts), st.lists(PARTS, max_size=5)),
        st.builds(lambda text: Message("user", text), st.sampled_from(["", "u"])),
        st.builds(lambda call_id: Message("tool", "r", tool_call_id=call_id), IDS),
    ),
    max_size=8,
)


@given(MESSAGES)
def test_whatever_a_conversation_is_its_input_is_valid(messages: list[Message]) -> None:
    sent = items(*messages)
    made = [item["call_id"] for item in sent if item["type"] == "function_call"]
    answered = [item["call_id"] for item in sent if item["type"] == "function_call_output"]
    assert len(set(made)) == len(made)
    assert sorted(made) == sorted(answered)
    assert all(0 < len(call_id) <= 64 for call_id in made)
    for item, following in zip_longest(sent, sent[1:]):
        if item["type"] == "reasoning":
            assert following is not None
            assert following.get("role") != "user" or following["content"][0]["type"] == "input_image"
        assert item["type"] != "message" or item["content"]
