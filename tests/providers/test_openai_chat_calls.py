"""Which call a fragment belongs to, and what of it is kept."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_agent.providers.openai_chat.calls import CallSlots
from ecs_agent.providers.wire.call_log import CallLog
from ecs_agent.types import FinishReason, ToolCall, ToolCallFragment


def piece(arguments: Any = None, **fields: Any) -> dict[str, Any]:
    """A fragment; `name` stands in its function."""
    function = {key: value for key, value in (("name", fields.pop("name", None)), ("arguments", arguments)) if value is not None}
    return fields | {"function": function}


def calls_of(*pieces: Any, finish: FinishReason = "tool_calls") -> list[tuple[str, str, Any]]:
    """Id, name and arguments of the calls that these pieces make, one a delta."""
    slots = CallSlots(CallLog("made_{}".format))
    for each in pieces:
        slots.add([each])
    slots.log.rest()
    final = slots.log.final(finish) or []
    assert len(final) == len(slots.log)
    return [(call.id, call.name, call.raw_arguments if call.arguments_error is not None else call.arguments) for call in final]


class TestAFragment:
    def test_it_holds_what_is_new(self) -> None:
        slots = CallSlots(CallLog("made_{}".format))
        assert slots.add([piece('{"a":', index=3, id="c1", type="function", name="f")]) == (ToolCallFragment(0, "c1", "f", '{"a":'),)
        assert slots.add([piece("1}", index=3, id="c1", name="f")]) == (ToolCallFragment(0, arguments="1}"),)
        assert len(slots.log) == 1
        assert list(slots.log.view()) == [ToolCall("c1", "f", {"a": 1})]

    def test_several_come_in_one_delta_and_one_may_stand_alone(self) -> None:
        slots = CallSlots(CallLog("made_{}".format))
        assert [each.index for each in slots.add([piece("{}", id="a", name="f"), None, 7, piece("{}", id="b", name="g")])] == [0, 1]
        assert [each.index for each in slots.add(piece("{}", id="c", name="h"))] == [2]
        assert slots.add("x") == slots.add(None) == slots.add([[]]) == ()

    def test_without_calls_there_is_no_end_of_them(self) -> None:
        slots = CallSlots(CallLog("made_{}".format))
        assert (slots.log.final("stop"), len(slots.log), slots.log.rest(), list(slots.log.view())) == (None, 0, (), [])

    def test_other_fields_are_kept_for_the_server_unless_they_say_nothing(self) -> None:
        slots = CallSlots(CallLog("made_{}".format))
        extra = {"extra_content": {"google": {"thought_signature": "s"}}, "more": "x\ud800"}
        (made,) = slots.add([piece("{}", id="c", name="f", index=0, type="function", none=None) | extra])
        assert made.opaque == {"openai-chat": {"extra_content": {"google": {"thought_signature": "s"}}, "more": "x\ufffd"}}
        assert [call.opaque for call in slots.log.final("stop") or ()] == [made.opaque]

    def test_they_may_come_with_later_pieces(self) -> None:
        slots = CallSlots(CallLog("made_{}".format))
        slots.add([piece("{", id="c", name="f", signature="s")])
        assert slots.add([piece("}", more="x")])[0].opaque == {"openai-chat": {"signature": "s", "more": "x"}}
        slots.add([piece(" ")])
        assert [call.opaque for call in slots.log.final("stop") or ()] == [{"openai-chat": {"signature": "s", "more": "x"}}]

    def test_a_field_beside_them_in_the_function_is_not_kept(self) -> None:
        (made,) = CallSlots(CallLog(str)).add([{"id": "c", "function": {"name": "f", "arguments": "{}", "x": 1}}])
        assert made.opaque is None

    @pytest.mark.parametrize("index", [None, "0", [], 0.5])
    def test_an_index_that_is_no_whole_number_is_none(self, index: Any) -> None:
        assert calls_of(piece("{", index=index, id="c", name="f"), piece("}", index=index)) == [("c", "f", {})]

    def test_an_index_may_be_written_as_a_float_and_of_any_size(self) -> None:
        assert calls_of(
            piece("{", index=1.0, id="c", name="f"), piece("{", index=-7, id="d", name="g"), piece("}", index=1), piece("}", index=-7)
        ) == [
            ("c", "f", {}),
            ("d", "g", {}),
        ]


class TestIds:
    def test_another_id_on_the_same_index_opens_a_call(self) -> None:
        assert calls_of(piece("{}", index=0, id="a", name="f"), piece("{}", index=0, id="b", name="f")) == [("a", "f", {}), ("b", "f", {})]

    def test_and_what_follows_on_that_index_belongs_to_it(self) -> None:
        assert calls_of(piece("{}", index=0, id="a", name="f"), piece("{", index=0, id="b", name="g"), piece("}", index=0)) == [
            ("a", "f", {}),
            ("b", "g", {}),
        ]

    @pytest.mark.parametrize("nothing", [None, "", 7])
    def test_an_id_that_says_nothing_continues(self, nothing: Any) -> None:
        assert calls_of(piece("{", index=0, id="a", name="f"), piece("}", index=0, id=nothing)) == [("a", "f", {})]

    def test_one_that_comes_late_is_the_calls(self) -> None:
        assert calls_of(piece("{", index=0, name="f"), piece("}", index=0, id="a")) == [("a", "f", {})]

    def test_without_an_index_a_known_id_continues_its_call_and_a_new_one_opens_one(self) -> None:
        pieces = [piece("{", id="a", name="f"), piece("{", id="b", name="g"), piece("}", id="a"), piece("}", id="b")]
        assert calls_of(*pieces) == [("a", "f", {}), ("b", "g", {})]

    def test_an_id_that_was_used_on_two_indexes_is_the_first_ones(self) -> None:
        pieces = [piece("{", index=0, id="a", name="f"), piece("{", index=1, id="a", name="g"), piece("}", id="a"), piece("}", index=1)]
        assert calls_of(*pieces) == [("a", "f", {}), ("a_1", "g", {})]

    def test_without_index_and_id_the_last_call_continues(self) -> None:
        pieces = [piece("{", id="a", name="f"), piece("}"), piece("{", id="b", name="g"), piece("}")]
        assert calls_of(*pieces) == [("a", "f", {}), ("b", "g", {})]

    def test_so_it_does_for_a_new_index_that_says_neither_id_nor_name(self) -> None:
        assert calls_of(piece("{", index=0, id="a", name="f"), piece("}", index=5)) == [("a", "f", {})]

    def test_and_that_index_is_the_calls_from_then_on(self) -> None:
        pieces = [
            piece("{", index=0, id="a", name="f"),
            piece('"x":', index=5),
            piece("{", index=1, id="b", name="g"),
            piece("1}", index=5),
            piece("}", index=1),
        ]
        assert calls_of(*pieces) == [("a", "f", {"x": 1}), ("b", "g", {})]

    @pytest.mark.parametrize("new", [{"id": "b"}, {"name": "g"}, {"id": "b", "name": "g"}])
    def test_a_new_index_with_an_id_or_a_name_opens_a_call(self, new: dict[str, str]) -> None:
        assert len(calls_of(piece("{", index=0, id="a", name="f"), piece("{}", index=1, **new))) == 2

    def test_a_call_without_an_id_gets_one_of_its_position(self) -> None:
        assert [call[0] for call in calls_of(piece("{}", index=4, name="f"), piece("{}", index=9, name="g"))] == ["made_0", "made_1"]

    def test_ids_are_distinct_at_the_end(self) -> None:
        pieces = [piece("{}", index=index, id=call_id, name="f") for index, call_id in enumerate(["a", "a", "a_1"])]
        assert len({call[0] for call in calls_of(*pieces)}) == 3


class TestNames:
    def test_a_name_behind_closed_arguments_opens_a_call(self) -> None:
        assert calls_of(piece("{}", index=0, name="f"), piece("{}", index=0, name="g")) == [("made_0", "f", {}), ("made_1", "g", {})]

    def test_the_same_name_opens_one_when_it_brings_arguments(self) -> None:
        assert len(calls_of(piece("{}", index=0, name="f"), piece("{}", index=0, name="f"))) == 2
        assert len(calls_of(piece("{}", index=0, name="f"), piece("", index=0, name="f"), piece(None, index=0, name="f"))) == 1

    def test_another_name_opens_one_without_arguments_too(self) -> None:
        assert len(calls_of(piece("{}", index=0, name="f"), piece(None, index=0, name="g"))) == 2

    def test_a_name_behind_open_arguments_is_ignored(self) -> None:
        assert calls_of(piece("{", index=0, name="f"), piece("}", index=0, name="g")) == [("made_0", "f", {})]

    def test_the_same_id_continues_whatever_the_name(self) -> None:
        assert calls_of(piece("{}", index=0, id="a", name="f"), piece("", index=0, id="a", name="g")) == [("a", "f", {})]

    def test_a_name_may_come_in_pieces_before_the_arguments(self) -> None:
        assert calls_of(piece(index=0, id="a", name="get_"), piece(index=0, name="time"), piece("{}", index=0)) == [("a", "get_time", {})]

    def test_a_piece_like_the_one_before_it_is_a_piece_and_only_the_whole_name_is_a_repetition(self) -> None:
        pieces = [piece(index=0, id="a", name="b"), *[piece(index=0, name=name) for name in ("an", "an", "a", "banana")], piece("{}", index=0)]
        assert calls_of(*pieces) == [("a", "banana", {})]

    def test_a_name_with_an_id_is_repeated_and_no_piece(self) -> None:
        assert calls_of(piece(index=0, id="a", name="f"), piece(index=0, id="a", name="g"), piece("{}", index=0)) == [("a", "f", {})]

    def test_a_name_that_is_repeated_is_no_piece(self) -> None:
        assert calls_of(piece(index=0, id="a", name="f"), piece(index=0, name="f"), piece("{}", index=0)) == [("a", "f", {})]

    def test_a_name_that_comes_late_with_the_id_is_the_calls(self) -> None:
        assert calls_of(piece("{", index=0), piece(index=0, id="a", name="f"), piece("}", index=0)) == [("a", "f", {})]


class TestNothing:
    @pytest.mark.parametrize("nothing", [piece(), piece("", id="", name=""), {}, {"function": None}, {"function": "x"}, piece(None, index=0)])
    def test_a_fragment_that_says_nothing_opens_no_call(self, nothing: dict[str, Any]) -> None:
        assert calls_of(nothing) == []

    def test_behind_a_call_it_continues_it(self) -> None:
        slots = CallSlots(CallLog("made_{}".format))
        slots.add([piece("{}", index=0, id="a", name="f")])
        assert slots.add([{}]) == (ToolCallFragment(0),)
        assert len(slots.log) == 1

    @pytest.mark.parametrize("something", [piece(id="a"), piece(name="f"), piece("{}")])
    def test_a_fragment_that_says_anything_opens_one(self, something: dict[str, Any]) -> None:
        assert len(calls_of(something)) == 1


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "read"),
        [
            ({"a": "é"}, {"a": "é"}),
            ({}, {}),
            ("", {}),
            (None, {}),
            ("{", "{"),
            ([1], "[1]"),
            (7, "7"),
        ],
    )
    def test_an_object_is_written_as_json_and_null_is_nothing(self, arguments: Any, read: Any) -> None:
        assert calls_of(piece(arguments, id="a", name="f")) == [("a", "f", read)]

    def test_an_object_is_written_in_its_own_characters(self) -> None:
        assert CallSlots(CallLog(str)).add([piece({"a": "é"}, id="a", name="f")])[0].arguments == '{"a": "é"}'

    def test_half_a_surrogate_pair_waits_for_the_other_half_of_its_call(self) -> None:
        pieces = [piece('{"a": "\ud83d', index=0, id="a", name="f"), piece('{"b": "\ud83d', index=1, id="b", name="g"),
                  piece('\ude00"}', index=1), piece('\ude00"}', index=0)]  # fmt: skip
        assert calls_of(*pieces) == [("a", "f", {"a": "😀"}), ("b", "g", {"b": "😀"})]

    def test_half_of_one_that_stays_alone_is_told_at_the_end_and_belongs_to_its_call(self) -> None:
        slots = CallSlots(CallLog("made_{}".format))
        slots.add([piece("{}", index=0, id="a", name="f"), piece('{"b": "\ud83d', index=1, id="b", name="g")])
        assert slots.log.rest() == (ToolCallFragment(1, arguments="\ufffd"),)
        assert [call.raw_arguments for call in slots.log.final("tool_calls") or ()] == [None, '{"b": "\ufffd']
        assert slots.log.rest() == ()

    def test_halves_in_ids_and_names_are_replaced(self) -> None:
        assert calls_of(piece("{}", index=0, id="a\ud83d", name="f\ud83d")) == [("a\ufffd", "f\ufffd", {})]

    def test_arguments_that_were_cut_are_told_by_the_finish(self) -> None:
        assert calls_of(piece("", id="a", name="f"), finish="length") == [("a", "f", "")]
        assert calls_of(piece("", id="a", name="f"), finish="stop") == [("a", "f", {})]
