"""What comes beside the text: sources, images, and data that is kept for its server unread."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.wire import decode, written

from ecs_agent.providers.openai_chat.chunk import Delta
from ecs_agent.providers.openai_chat.parts import Citations, OpaqueFields, holds_opaque, images_of
from ecs_agent.types import CitationPart, ImagePart, OpaquePart

NOTHING: list[Any] = [None, "", [], {}]
A, B = "https://a.example/", "https://b.example/"


def kept(*deltas: dict[str, Any]) -> dict[str, Any]:
    """What is kept of these deltas to be sent back."""
    fields = OpaqueFields()
    for delta in deltas:
        fields.add(Delta(**delta))
    parts = fields.parts()
    assert [part.source for part in parts] in ([], ["openai-chat"])
    return parts[0].data if parts else {}


def details(*pieces: Any) -> list[Any]:
    """What becomes of these pieces of `reasoning_details`, one a delta."""
    found: list[Any] = kept(*[{"reasoning_details": [piece]} for piece in pieces]).get("reasoning_details", [])
    return found


class TestWhetherThereIsAnything:
    @pytest.mark.parametrize("name", ["reasoning_details", "thinking_blocks", "extra_content", "encrypted_content", "reasoning_opaque"])
    def test_each_of_the_fields_counts_unless_it_is_empty(self, name: str) -> None:
        assert holds_opaque(Delta(**{name: "x"}))
        assert not any(holds_opaque(Delta(**{name: nothing})) for nothing in NOTHING)

    def test_content_in_parts_may_hold_some_and_content_that_is_text_does_not(self) -> None:
        assert holds_opaque(Delta(content=[]))
        assert not holds_opaque(Delta(content="x", reasoning="y", refusal="z", tool_calls=[{}], annotations=[{}], images=[{}]))


class TestHalfSurrogatePairs:
    """What is kept as it stands holds none: no encoding can carry them."""

    def test_in_what_goes_back_to_the_server(self) -> None:
        found = kept({"reasoning_details": [{"text": "a\ud83d"}], "encrypted_content": "\ud83d", "extra_content": {"x": ["\ud83d"]}})
        assert found == {"reasoning_details": [{"text": "a\ufffd"}], "encrypted_content": "\ufffd", "extra_content": {"x": ["\ufffd"]}}

    def test_two_that_come_in_pieces_are_whole(self) -> None:
        assert details({"index": 1, "text": "\ud83d"}, {"index": 1, "text": "\ude00"}) == [{"index": 1, "text": "\U0001f600"}]

    def test_in_sources_and_images(self) -> None:
        cited = {"url": f"{A}\ud83d", "title": "\ud83d"}
        assert Citations().annotated([cited]) == [CitationPart(f"{A}\ufffd", "\ufffd", data={"url": f"{A}\ufffd", "title": "\ufffd"})]
        assert images_of([{"image_url": f"{A}\ud83d"}]) == [ImagePart(url=f"{A}\ufffd")]


class TestEntriesThatComeInPieces:
    def test_texts_are_joined_and_of_everything_else_the_last_value_counts(self) -> None:
        assert details(
            {"type": "reasoning.text", "index": 0, "text": "a", "format": "x", "id": "r1"},
            {"type": "reasoning.text", "index": 0, "text": "b", "format": "y", "signature": "s"},
            {"type": "reasoning.text", "index": 0, "format": None, "signature": "t", "more": None},
        ) == [{"type": "reasoning.text", "index": 0, "text": "ab", "format": "y", "id": "r1", "signature": "st", "more": None}]

    @pytest.mark.parametrize("name", ["text", "summary", "data", "thinking", "signature"])
    def test_these_texts_are_joined(self, name: str) -> None:
        assert details({"index": 1, name: "a"}, {"index": 1, name: "b"}) == [{"index": 1, name: "ab"}]

    def test_any_other_text_is_replaced(self) -> None:
        assert details({"index": 1, "format": "a"}, {"index": 1, "format": "b"}) == [{"index": 1, "format": "b"}]

    def test_a_joined_text_that_comes_as_something_else_is_kept_while_it_is_all_there_is(self) -> None:
        assert details({"index": 1, "text": 7}) == [{"index": 1, "text": 7}]
        assert details({"index": 1, "text": None}, {"index": 1, "text": "a"}, {"index": 1, "text": None}) == [{"index": 1, "text": "a"}]

    def test_fields_keep_the_order_in_which_they_came(self) -> None:
        (entry,) = details({"type": "t", "signature": "s", "index": 0, "summary": [{"text": "x"}], "id": "i"}, {"type": "t", "index": 0, "text": "a"})
        assert list(entry) == ["type", "signature", "index", "summary", "id", "text"]

    def test_indexes_tell_entries_apart_however_they_are_interleaved(self) -> None:
        assert details({"index": 0, "text": "a"}, {"index": 1, "text": "x"}, {"index": 0, "text": "b"}, {"index": 1, "text": "y"}) == [
            {"index": 0, "text": "ab"},
            {"index": 1, "text": "xy"},
        ]

    def test_types_tell_entries_of_one_index_apart(self) -> None:
        pieces = [{"type": kind, "index": 0, "text": text} for kind, text in (("t", "a"), ("u", "x"), ("t", "b"), ("u", "y"))]
        assert details(*pieces) == [{"type": "t", "index": 0, "text": "ab"}, {"type": "u", "index": 0, "text": "xy"}]

    def test_another_id_on_the_same_index_is_another_entry_and_what_follows_belongs_to_it(self) -> None:
        assert details(
            {"index": 0, "id": "1", "text": "a"},
            {"index": 0, "id": "1", "text": "b"},
            {"index": 0, "id": "2", "text": "x"},
            {"index": 0, "text": "y"},
        ) == [{"index": 0, "id": "1", "text": "ab"}, {"index": 0, "id": "2", "text": "xy"}]

    @pytest.mark.parametrize(("first", "second"), [("1", None), (None, "1"), ("1", ""), ("", "1")])
    def test_an_id_that_is_missing_or_empty_tells_nothing_apart(self, first: str | None, second: str | None) -> None:
        assert len(details({"index": 0, "id": first, "text": "a"}, {"index": 0, "id": second, "text": "b"})) == 1

    def test_neighbours_of_one_type_without_an_index_belong_together(self) -> None:
        assert details({"type": "t", "text": "a"}, {"type": "t", "text": "b"}, {"type": "u", "text": "c"}, {"type": "t", "text": "d"}) == [
            {"type": "t", "text": "ab"},
            {"type": "u", "text": "c"},
            {"type": "t", "text": "d"},
        ]

    @pytest.mark.parametrize("last", ["signature", "data"])
    def test_until_one_is_signed_or_encrypted(self, last: str) -> None:
        assert details({"type": "t", "text": "a"}, {"type": "t", last: "s"}, {"type": "t", "text": "b"}) == [
            {"type": "t", "text": "a", last: "s"},
            {"type": "t", "text": "b"},
        ]

    def test_a_piece_without_an_index_does_not_continue_an_entry_that_has_one(self) -> None:
        assert details({"index": 0, "text": "a"}, {"text": "b"}, {"index": 0, "text": "c"}) == [{"index": 0, "text": "ac"}, {"text": "b"}]

    def test_an_index_that_is_no_number_is_none(self) -> None:
        assert len(details({"index": "0", "text": "a"}, {"index": "1", "text": "b"})) == 2

    def test_lists_of_pieces_are_joined_by_the_same_rules(self) -> None:
        assert details(
            {"type": "t", "index": 0, "summary": [{"type": "s", "text": "a"}]},
            {"type": "t", "index": 0, "summary": [{"type": "s", "text": "b"}, {"type": "v", "text": "c"}]},
            {"type": "t", "index": 0, "summary": []},
        ) == [{"type": "t", "index": 0, "summary": [{"type": "s", "text": "ab"}, {"type": "v", "text": "c"}]}]

    def test_a_list_without_objects_is_a_value_like_any_other(self) -> None:
        assert details({"index": 0, "tags": ["a"]}, {"index": 0, "tags": ["b"]}) == [{"index": 0, "tags": ["b"]}]

    @pytest.mark.parametrize("odd", [None, 7, "x", {"type": "t"}, [None, 7, "x", ["y"]]])
    def test_what_is_no_list_of_objects_is_nothing(self, odd: Any) -> None:
        assert kept({"reasoning_details": odd}) == {}

    def test_objects_among_other_things_count(self) -> None:
        assert kept({"reasoning_details": [None, {"type": "t"}, "x"]}) == {"reasoning_details": [{"type": "t"}]}

    @given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("tu"), st.text("ab", max_size=2)), max_size=8))
    def test_pieces_with_an_index_give_one_entry_each_with_all_its_text(self, pieces: list[tuple[int, str, str]]) -> None:
        whole: dict[tuple[int, str], str] = {}
        for index, kind, text in pieces:
            whole[index, kind] = whole.get((index, kind), "") + text
        made = details(*[{"type": kind, "index": index, "text": text} for index, kind, text in pieces])
        assert made == [{"type": kind, "index": index, "text": text} for (index, kind), text in whole.items()]


class TestWhatIsKept:
    def test_nothing_makes_no_part(self) -> None:
        assert OpaqueFields().parts() == ()
        assert kept({"reasoning_details": [], "thinking_blocks": [], "content": [], "extra_content": {}}) == {}

    def test_every_field_under_its_own_name(self) -> None:
        assert kept(
            {"reasoning_details": [{"text": "a"}], "encrypted_content": "x", "extra_content": {"google": 1, "a": 1}},
            {"thinking_blocks": [{"thinking": "b"}], "encrypted_content": "y", "reasoning_opaque": "o", "extra_content": {"a": 2}},
        ) == {
            "reasoning_details": [{"text": "a"}],
            "thinking_blocks": [{"thinking": "b"}],
            "encrypted_content": "xy",
            "reasoning_opaque": "o",
            "extra_content": {"google": 1, "a": 2},
        }

    def test_a_field_of_another_type_is_not_kept(self) -> None:
        assert kept({"encrypted_content": 7, "reasoning_opaque": ["x"], "extra_content": "x"}) == {}

    @pytest.mark.parametrize(
        "part",
        [
            {"type": "thinking", "thinking": "a", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}], "id": "r1"},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "a", "signature": "s"}]},
            {"type": "reasoning", "text": "a", "format": "v1"},
        ],
    )
    def test_a_thought_among_the_parts_of_the_content_is_kept_when_it_holds_more_than_text(self, part: dict[str, Any]) -> None:
        assert kept({"content": [part]}) == {"content_parts": [part]}

    @pytest.mark.parametrize(
        "part",
        [
            {"type": "thinking", "thinking": "a"},
            {"type": "reasoning", "summary": "a", "text": "b", "id": None},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}]},
            {"type": "text", "text": "a", "id": "t1"},
            {"text": "a", "id": "t1"},
        ],
    )
    def test_a_thought_that_is_text_alone_and_a_part_that_is_no_thought_are_not(self, part: dict[str, Any]) -> None:
        assert kept({"content": [part, "and a text", None]}) == {}

    def test_one_that_holds_more_keeps_its_neighbours_too(self) -> None:
        parts = [{"type": "thinking", "thinking": "a", "signature": "s"}, {"type": "thinking", "thinking": "b"}]
        assert kept({"content": parts}) == {"content_parts": parts}

    def test_details_that_are_text_alone_are_kept(self) -> None:
        assert kept({"reasoning_details": [{"type": "reasoning.text", "text": "a"}]}) == {
            "reasoning_details": [{"type": "reasoning.text", "text": "a"}]
        }

    def test_it_comes_with_the_end_as_one_part(self) -> None:
        outcome = decode([written({"delta": {"reasoning_opaque": "o"}}), written({"delta": {"content": "a"}}), written({"finish": "stop"})])
        assert [delta.parts for delta in outcome.deltas if delta.parts] == [(OpaquePart("openai-chat", {"reasoning_opaque": "o"}),)]
        assert outcome.deltas[-1].final
        assert outcome.deltas[-1].parts


class TestReadableText:
    @pytest.mark.parametrize(
        ("piece", "text"),
        [
            ({"text": "a"}, "a"),
            ({"summary": "b"}, "b"),
            ({"thinking": "c"}, "c"),
            ({"text": "a", "summary": "b", "thinking": "c"}, "abc"),
            ({"data": "x", "signature": "y", "text": None}, ""),
        ],
    )
    def test_text_summary_and_thinking_can_be_read(self, piece: dict[str, Any], text: str) -> None:
        assert OpaqueFields().add(Delta(reasoning_details=[piece])) == text
        assert OpaqueFields().add(Delta(thinking_blocks=[piece])) == text

    def test_of_several_pieces_all_of_it(self) -> None:
        assert OpaqueFields().add(Delta(reasoning_details=[{"text": "a"}, 7, {"summary": "b"}])) == "ab"

    def test_where_two_lists_have_it_it_counts_once(self) -> None:
        assert OpaqueFields().add(Delta(reasoning_details=[{"text": "a"}], thinking_blocks=[{"thinking": "b"}])) == "a"

    def test_it_is_reasoning_where_the_delta_has_no_other(self) -> None:
        outcome = decode([
            written({"delta": {"reasoning_details": [{"text": "a"}]}}),
            written({"delta": {"reasoning": "b", "reasoning_details": [{"text": "c"}]}}),
            written({"delta": {"content": [{"type": "thinking", "thinking": "d"}], "thinking_blocks": [{"thinking": "e"}]}}),
            written({"finish": "stop"}),
        ])  # fmt: skip
        assert outcome.result.message.reasoning == "abd"


def cited(*entries: Any) -> list[CitationPart]:
    return Citations().annotated(list(entries))


class TestAnnotations:
    def test_a_source_has_its_title_what_it_says_and_where_it_is_cited(self) -> None:
        fields = {"url": A, "title": "T", "content": "says", "start_index": 0, "end_index": 7}
        entry = {"type": "url_citation", "url_citation": fields}
        assert cited(entry) == [CitationPart(A, "T", "says", 0, 7, entry)]

    def test_the_fields_may_stand_in_the_entry_itself_and_an_entry_may_be_an_address(self) -> None:
        assert cited({"url": A, "title": "T"}, B) == [CitationPart(A, "T", data={"url": A, "title": "T"}), CitationPart(B, data={"url": B})]

    def test_what_it_says_is_its_content_else_a_snippet(self) -> None:
        said: list[dict[str, Any]] = [{"content": "c", "snippet": "s"}, {"content": "", "snippet": "s"}, {"snippet": "s"}, {"snippet": 7}, {}]
        assert [cited({"url": A} | fields)[0].quote for fields in said] == ["c", "s", "s", "", ""]

    @pytest.mark.parametrize("position", [-1, True, "3", 1.5, None])
    def test_a_position_that_is_none_is_unknown(self, position: Any) -> None:
        (part,) = cited({"url": A, "start_index": position, "end_index": position})
        assert (part.start, part.end) == (None, None)

    @pytest.mark.parametrize("entry", [None, 7, [], {}, {"title": "T"}, {"url": ""}, {"url": 7}, "", {"url_citation": {"title": "T"}, "url": A}])
    def test_an_entry_without_an_address_is_none(self, entry: Any) -> None:
        assert cited(entry, A) == [CitationPart(A, data={"url": A})]

    @pytest.mark.parametrize("found", [None, 7, A, {"url": A}])
    def test_what_is_no_list_holds_none(self, found: Any) -> None:
        assert Citations().annotated(found) == []

    def test_an_annotation_counts_once_however_often_it_is_said_and_twice_at_two_places(self) -> None:
        citations = Citations()
        here, there = {"url": A, "start_index": 0}, {"url": A, "start_index": 9}
        assert len(citations.annotated([here])) == 1
        assert citations.annotated([here]) == []
        assert [part.start for part in citations.annotated([here, there])] == [9]

    def test_one_that_is_said_twice_in_a_list_counts_once(self) -> None:
        assert cited(A, B, A) == cited(A, B)

    def test_they_come_at_once_with_the_text(self) -> None:
        outcome = decode([written({"delta": {"content": "a", "annotations": [{"url": A}]}}), written({"delta": {"annotations": [{"url": B}]}}),
                          written({"delta": {"annotations": [{"url": B}]}}), written({"finish": "stop"})])  # fmt: skip
        assert [(delta.content, [part.url for part in delta.parts if isinstance(part, CitationPart)]) for delta in outcome.deltas] == [
            ("a", [A]),
            (None, [B]),
            (None, []),
        ]


class TestListsOfSources:
    def test_of_the_lists_that_come_with_the_chunks_the_last_counts(self) -> None:
        citations = Citations()
        citations.listed([A], None)
        citations.listed([A, B], None)
        citations.listed([], None)
        citations.listed(None, "x")
        assert [part.url for part in citations.rest()] == [A, B]

    def test_the_one_that_says_more_is_used(self) -> None:
        citations = Citations()
        citations.listed([A], [{"url": A, "title": "T", "snippet": "s"}])
        assert [(part.title, part.quote) for part in citations.rest()] == [("T", "s")]

    def test_what_was_annotated_is_not_named_again(self) -> None:
        citations = Citations()
        citations.annotated([{"url": A, "start_index": 3}])
        citations.listed([A, B], None)
        assert [part.url for part in citations.rest()] == [B]

    def test_without_lists_there_is_no_rest(self) -> None:
        assert Citations().rest() == []

    @pytest.mark.parametrize(("name", "value"), [("citations", [A]), ("search_results", [{"url": A}])])
    def test_they_come_with_the_end(self, name: str, value: Any) -> None:
        outcome = decode([written({"delta": {"content": "a"}, name: value}), written({"finish": "stop", name: value})])
        assert [[part.url for part in delta.parts if isinstance(part, CitationPart)] for delta in outcome.deltas] == [[], [A]]

    def test_both_stand_before_what_is_kept_unread(self) -> None:
        events = [written({"delta": {"content": "a", "reasoning_opaque": "o"}, "citations": [A]}), written({"finish": "stop"})]
        assert [part.tag for part in decode(events).result.message.parts] == ["text", "citation", "opaque"]


class TestImages:
    def test_an_image_is_its_address(self) -> None:
        found = [{"type": "image_url", "image_url": {"url": A}}, {"image_url": B}, {"image_url": {"url": "data:image/png;base64,AA=="}}]
        assert images_of(found) == [ImagePart(url=A), ImagePart(url=B), ImagePart(url="data:image/png;base64,AA==")]

    @pytest.mark.parametrize(
        "entry", [None, 7, A, {}, {"image_url": None}, {"image_url": ""}, {"image_url": {}}, {"image_url": {"url": 7}}, {"url": A}]
    )
    def test_what_has_no_address_is_none(self, entry: Any) -> None:
        assert images_of([entry, {"image_url": B}]) == [ImagePart(url=B)]

    @pytest.mark.parametrize("found", [None, 7, A, {"image_url": A}])
    def test_what_is_no_list_holds_none(self, found: Any) -> None:
        assert images_of(found) == []

    def test_they_come_before_the_sources_of_their_delta(self) -> None:
        events = [written({"delta": {"images": [{"image_url": A}], "annotations": [B]}}), written({"finish": "stop"})]
        assert [part.tag for part in decode(events).result.message.parts] == ["image", "citation"]
