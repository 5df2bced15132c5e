"""Tool calls while they arrive: views that never change and are parsed only when read, and what counts at the end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_agent.streaming import ToolCallLog, tool_calls
from ecs_agent.streaming.json_edge import without_surrogates
from ecs_agent.streaming.partial_json import parse_object, parse_partial
from ecs_agent.streaming.tool_calls import finished_call, is_whole
from ecs_agent.types import FinishReason, ToolCall, ToolCallFragment

OF_ITSELF: list[FinishReason] = ["stop", "tool_calls"]
CUT_OFF: list[FinishReason | None] = ["length", "content_filter", "pause", None]
ANY_REASON: list[FinishReason | None] = [*OF_ITSELF, *CUT_OFF]


def made_id(index: int) -> str:
    return f"made_{index}"


def log_of(*arguments: str) -> ToolCallLog:
    """A log of one call whose arguments come in these pieces."""
    log = ToolCallLog()
    log.append(ToolCallFragment(0, "c1", "search"))
    for piece in arguments:
        log.append(ToolCallFragment(0, arguments=piece))
    return log


def ended(arguments: str, reason: FinishReason | None = "tool_calls") -> ToolCall:
    (call,) = log_of(arguments).final(reason, made_id)
    return call


class CountedParses:
    """Counts what is parsed, by calls and by characters."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.characters = 0
        for name in ("parse_object", "parse_partial"):
            monkeypatch.setattr(tool_calls, name, self._counting(getattr(tool_calls, name)))

    def _counting(self, parse: Any) -> Any:
        def counting(text: str) -> Any:
            self.calls += 1
            self.characters += len(text)
            return parse(text)

        return counting


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> CountedParses:
    return CountedParses(monkeypatch)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
JSON_OBJECTS = st.dictionaries(st.text(max_size=3), JSON_VALUES, max_size=3)
FRAGMENTS = st.builds(
    ToolCallFragment,
    st.integers(0, 3),
    st.none() | st.sampled_from(["", "c1", "c2"]),
    st.none() | st.sampled_from(["", "a", "b"]),
    st.sampled_from(["", "{", "}", '{"a":', "1", '"', "\\", " ", "{}"]),
    st.none() | st.dictionaries(st.sampled_from("xy"), st.integers(0, 2), max_size=1),
)


class TestTheLog:
    def test_an_empty_log_has_no_calls(self) -> None:
        log = ToolCallLog()
        assert len(log) == len(log.view()) == 0
        assert list(log.view()) == []
        assert log.final("stop", made_id) == ()

    def test_pieces_of_name_and_arguments_are_appended_the_first_id_stays_and_opaque_is_merged(self) -> None:
        log = ToolCallLog()
        log.append(ToolCallFragment(0, None, "sea", "", {"signature": "a"}))
        log.append(ToolCallFragment(0, "c1", "rch", '{"q":', None))
        log.append(ToolCallFragment(0, "c2", None, " 1}", {"signature": "b", "other": 1}))
        assert log.final("tool_calls", made_id) == (ToolCall("c1", "search", {"q": 1}, opaque={"signature": "b", "other": 1}),)

    def test_calls_stand_in_the_order_of_their_indexes_and_may_be_interleaved(self) -> None:
        log = ToolCallLog()
        for index, text in ((2, '{"n":'), (0, '{"n":'), (2, "2}"), (0, "0}")):
            log.append(ToolCallFragment(index, f"c{index}" if text.startswith("{") else None, "f" if text.startswith("{") else None, text))
        assert len(log) == 2
        assert list(log.view()) == [ToolCall("c0", "f", {"n": 0}), ToolCall("c2", "f", {"n": 2})]

    def test_opaque_data_of_several_fragments_stays_with_the_call_from_the_first_view_on(self) -> None:
        for text in ('{"q": 1}', '{"q": 1'):
            log = log_of(text)
            log.append(ToolCallFragment(0, opaque={"signature": "a"}))
            log.append(ToolCallFragment(0, opaque={"other": 1}))
            assert log.view()[0].opaque == {"signature": "a", "other": 1}
            assert log.final("tool_calls", made_id)[0].opaque == {"signature": "a", "other": 1}

    @settings(max_examples=60, deadline=None)
    @given(st.lists(FRAGMENTS, max_size=12), st.integers(1, 5))
    def test_joining_long_calls_on_the_way_changes_nothing(self, fragments: list[ToolCallFragment], join_at: int) -> None:
        plain, joining = ToolCallLog(), ToolCallLog()
        with pytest.MonkeyPatch.context() as patch:
            for fragment in fragments:
                plain.append(fragment)
                patch.setattr(tool_calls, "_JOIN_AT", join_at)
                joining.append(fragment)
                patch.undo()
                assert len(plain) == len(joining)
        assert plain.view() == joining.view()
        assert plain.final("tool_calls", made_id) == joining.final("tool_calls", made_id)


class TestViews:
    def test_a_call_that_has_just_begun(self) -> None:
        assert list(log_of().view()) == [ToolCall("c1", "search", {}, raw_arguments="")]

    def test_a_call_without_an_id_has_an_empty_one_until_the_end(self) -> None:
        log = ToolCallLog()
        log.append(ToolCallFragment(4, None, "f", "{}"))
        assert log.view()[0].id == ""
        assert log.final("tool_calls", made_id)[0].id == "made_4"

    @pytest.mark.parametrize(
        ("text", "arguments"),
        [
            ("{", {}),
            ('{"a', {}),
            ('{"a": "b', {"a": "b"}),
            ('{"a": 1, "b": [1, 2', {"a": 1, "b": [1, 2]}),
            ('{"a": {}', {"a": {}}),
            ('{"a": "}', {"a": "}"}),
            ("[1", {}),
            ("nonsense", {}),
            ("\ud800", {}),
            ("{}}", {}),
        ],
    )
    def test_unfinished_arguments_are_what_can_be_read_so_far_with_their_text(self, text: str, arguments: dict[str, Any]) -> None:
        (call,) = log_of(text).view()
        assert (call.arguments, call.raw_arguments, call.arguments_error) == (arguments, text, None)
        assert not is_whole(call)

    @pytest.mark.parametrize("text", ["{}", '{"a": {"b": "}"}}', ' {"a": 1} \n'])
    def test_whole_arguments_have_no_raw_text(self, text: str) -> None:
        (call,) = log_of(text).view()
        assert call == ToolCall("c1", "search", json.loads(text))
        assert is_whole(call)

    @settings(max_examples=30, deadline=None)
    @given(JSON_OBJECTS)
    def test_what_can_be_read_so_far_is_an_object_at_every_cut(self, value: dict[str, Any]) -> None:
        text = json.dumps(value)
        for end in range(len(text)):
            (call,) = log_of(text[:end]).view()
            assert isinstance(call.arguments, dict)
            assert call.arguments.keys() <= value.keys()
            assert call.raw_arguments == text[:end]
        assert parse_partial(text) == value

    def test_an_unfinished_text_that_no_json_begins_with_says_nothing(self) -> None:
        assert parse_partial('{"a": NaN, "b": 1') == {}
        assert parse_partial("[1, 2]") == {}

    def test_a_view_stays_as_it_was_when_it_was_made(self) -> None:
        log = log_of('{"a": 1')
        early = log.view()
        log.append(ToolCallFragment(0, None, None, "}"))
        log.append(ToolCallFragment(1, "c2", "other", "{}"))
        late = log.view()
        assert len(early) == 1
        assert early[0].raw_arguments == '{"a": 1'
        assert len(late) == 2
        assert late[0] == ToolCall("c1", "search", {"a": 1})

    @settings(max_examples=40, deadline=None)
    @given(st.lists(FRAGMENTS, max_size=12))
    def test_views_read_at_the_end_equal_views_read_at_once(self, fragments: list[ToolCallFragment]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tool_calls, "_JOIN_AT", 3)
            log = ToolCallLog()
            at_once, kept = [], []
            for fragment in fragments:
                log.append(fragment)
                kept.append(log.view())
                at_once.append(list(log.view()))
        assert [list(view) for view in kept] == at_once
        assert [len(view) for view in kept] == [len(calls) for calls in at_once]

    def test_a_view_is_a_sequence_like_any_other(self) -> None:
        log = log_of("{}")
        log.append(ToolCallFragment(1, "c2", "other", "{}"))
        view, calls = log.view(), [ToolCall("c1", "search"), ToolCall("c2", "other")]
        assert view[-1] == calls[1]
        assert view[:1] == (calls[0],)
        assert calls[1] in view
        equals: list[object] = [calls, tuple(calls), log.view(), view]
        assert all(view == equal for equal in equals)
        assert view != calls[:1]
        assert view != "text"  # type: ignore[comparison-overlap]  # that it compares at all
        assert repr(view) == repr(calls)
        with pytest.raises(TypeError, match="unhashable"):
            hash(view)

    def test_nothing_is_parsed_before_a_view_is_read_and_then_once(self, parses: CountedParses) -> None:
        view = log_of('{"a": ', "1}").view()
        assert len(view) == 1
        assert parses.calls == 0
        assert [view[0], *view, *view] == [ToolCall("c1", "search", {"a": 1})] * 3
        assert parses.calls == 1

    def test_a_long_call_costs_its_length_although_every_delta_has_a_view(self, parses: CountedParses) -> None:
        log = log_of('{"text": "')
        views = []
        for _ in range(20_000):
            log.append(ToolCallFragment(0, arguments="word "))
            views.append(log.view())
        log.append(ToolCallFragment(0, arguments='"}'))
        assert parses.calls == 0
        (call,) = log.final("tool_calls", made_id)
        assert call.arguments == {"text": "word " * 20_000}
        assert (parses.calls, parses.characters) == (1, 5 * 20_000 + 12)
        assert views[2][0].arguments == {"text": "word " * 3}
        assert views[-1][0].arguments == {"text": "word " * 20_000}

    def test_the_log_holds_few_fragments_however_many_came(self) -> None:
        log = log_of(*["x"] * 20_000)
        assert len(log._joined) + len(log._recent) < 400


class TestTheEnd:
    @pytest.mark.parametrize("reason", ANY_REASON)
    def test_whole_arguments_count_whatever_the_reason(self, reason: FinishReason | None) -> None:
        assert ended('{"a": 1}', reason) == ToolCall("c1", "search", {"a": 1})

    @pytest.mark.parametrize("text", ["", " ", "\n\t"])
    @pytest.mark.parametrize("reason", OF_ITSELF)
    def test_no_arguments_mean_none_when_the_model_finished_of_itself(self, text: str, reason: FinishReason) -> None:
        assert ended(text, reason) == ToolCall("c1", "search", {})

    @pytest.mark.parametrize("text", ["", " "])
    @pytest.mark.parametrize("reason", CUT_OFF)
    def test_no_arguments_are_an_error_when_the_answer_was_cut_off(self, text: str, reason: FinishReason | None) -> None:
        call = ended(text, reason)
        assert (call.arguments, call.raw_arguments) == ({}, text)
        assert "they are missing" in (call.arguments_error or "")
        assert (call.id, call.name) == ("c1", "search")
        assert not is_whole(call)

    @pytest.mark.parametrize("reason", ANY_REASON)
    def test_unfinished_arguments_are_never_run(self, reason: FinishReason | None) -> None:
        call = ended('{"a": 1', reason)
        assert (call.arguments, call.raw_arguments) == ({}, '{"a": 1')
        assert (call.arguments_error or "").startswith("The tool was not run: ")

    def test_the_model_is_told_to_be_shorter_when_the_length_was_the_reason(self) -> None:
        assert "shorter arguments" in (ended('{"a"', "length").arguments_error or "")
        assert "corrected arguments" in (ended('{"a"', "stop").arguments_error or "")

    def test_the_model_is_told_in_one_sentence_what_is_wrong_and_in_one_what_to_do(self) -> None:
        assert ended("", "length").arguments_error == (
            "The tool was not run: the answer reached its length limit before the arguments were complete (they are missing). "
            "Call it again with shorter arguments, or divide the work over several calls."
        )
        assert ended("[]", "stop").arguments_error == (
            "The tool was not run: its arguments must be one complete JSON object, but they are an array. Call it again with corrected arguments."
        )

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ('{"a": "x\ud83dy"}', "x\ufffdy"),
            ('{"a": "x\\ud83dy"}', "x\ufffdy"),
            ('{"a": "\\ude00\\ud83d\\ude00"}', "\ufffd\U0001f600"),
            ('{"a": "\\\\ud83d"}', "\\ud83d"),
        ],
    )
    def test_half_a_surrogate_pair_is_replaced(self, text: str, value: str) -> None:
        assert ended(text, "tool_calls").arguments == {"a": value}

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ("{'a': 1}", "are not valid JSON"),
            ('{"a": 1}{"a": 1}', "are not valid JSON"),
            ("[1]", "are an array"),
            ('"text"', "are a string"),
            ("true", "are a boolean"),
            ("1", "are a number"),
            ("1.5", "are a number"),
            ("null", "are null"),
            ('{"a": NaN}', "are not valid JSON"),
            ('{"a": -Infinity}', "are not valid JSON"),
            ('{"a": [{"b": 1e999}]}', "hold a number that is too large"),
            ('{"a": 1, "a": 2}', "are not valid JSON"),
            pytest.param('{"a":' * 500 + "1" + "}" * 500, "are not valid JSON", id="500 deep"),
            pytest.param('{"a":' * 20_000, "are not valid JSON", id="20000 deep"),
        ],
    )
    @pytest.mark.parametrize("reason", ["tool_calls", None])
    def test_anything_but_one_plain_json_object_is_kept_raw_with_an_error(self, text: str, what: str, reason: FinishReason | None) -> None:
        call = ended(text, reason)
        assert (call.arguments, call.raw_arguments) == ({}, text)
        assert f"they {what}" in (call.arguments_error or "")
        assert not is_whole(call)

    def test_opaque_data_stays_with_every_kind_of_ending(self) -> None:
        for text in ("{}", "", "{"):
            log = log_of(text)
            log.append(ToolCallFragment(0, opaque={"signature": "s"}))
            assert log.final("stop", made_id)[0].opaque == {"signature": "s"}

    @settings(max_examples=30, deadline=None)
    @given(JSON_OBJECTS)
    def test_every_json_object_comes_through(self, value: dict[str, Any]) -> None:
        text = json.dumps(value)
        assert ended(text) == ToolCall("c1", "search", value)
        assert parse_object(text) == value

    @settings(max_examples=60, deadline=None)
    @given(st.text(alphabet='{}[]":,\\ 1eantruefls\ud800', max_size=12), st.sampled_from(ANY_REASON))
    def test_every_call_ends_whole_or_with_an_error(self, text: str, reason: FinishReason | None) -> None:
        call = ended(text, reason)
        assert is_whole(call) != bool(call.arguments_error)
        assert call.raw_arguments == (None if is_whole(call) else text)

    def test_a_call_that_is_already_finished_stays_as_it_is(self) -> None:
        for call in (ToolCall("c1", "f", {"a": 1}), ToolCall("c1", "f", {}, "{", "no good")):
            assert finished_call(call, "stop") is call


class TestClosedBrackets:
    @pytest.mark.parametrize("text", ["{}", "[]", '{"a": "}"}', '{"a": "\\"}"}', '{"a": "\\\\"}', "{'a'}", " {} more", "}", '{"a": [{}]}'])
    def test_the_outermost_bracket_has_closed(self, text: str) -> None:
        assert log_of(text).is_closed(0)
        assert log_of(*text).is_closed(0)

    @pytest.mark.parametrize("text", ["", "{", '{"a": {}', '{"a": "}', '{"a": "\\"}', '{"a": "\\', '"text"', "1", "[{}"])
    def test_it_has_not(self, text: str) -> None:
        assert not log_of(text).is_closed(0)
        assert not log_of(*text).is_closed(0)

    def test_a_call_that_never_began_is_not_closed(self) -> None:
        assert not ToolCallLog().is_closed(0)

    def test_an_escape_that_is_cut_from_its_character_hides_that_one_only(self) -> None:
        assert log_of('{"a": "\\', '""}').is_closed(0)
        assert not log_of('{"a": "\\', '"}').is_closed(0)
        assert log_of('{"a": "\\', "\\", '"}').is_closed(0)

    def test_the_answer_is_a_plain_yes_or_no(self) -> None:
        assert [log_of(text).is_closed(0) for text in ("", "{", "{}")] == [False, False, True]

    @settings(max_examples=60, deadline=None)
    @given(JSON_OBJECTS, st.data())
    def test_it_closes_with_the_last_character_of_every_object_in_every_split(self, value: dict[str, Any], data: st.DataObject) -> None:
        text = json.dumps(value)
        cut = data.draw(st.integers(0, len(text) - 1))
        log = log_of(text[:cut], text[cut:-1])
        assert not log.is_closed(0)
        log.append(ToolCallFragment(0, arguments=text[-1]))
        assert log.is_closed(0)
        log.append(ToolCallFragment(0, arguments='{"'))
        assert log.is_closed(0)

    def test_asking_parses_nothing(self, parses: CountedParses) -> None:
        assert log_of("{", "}").is_closed(0)
        assert parses.calls == 0


class TestHalfSurrogatePairs:
    @pytest.mark.parametrize(
        ("value", "clean"),
        [
            ("plain", "plain"),
            ("é😀", "é😀"),
            ("a\ud83d", "a\ufffd"),
            ("\ude00a", "\ufffda"),
            ("\ud83d\ude00", "😀"),
            (["\ud800", {"a": "\udfff"}], ["\ufffd", {"a": "\ufffd"}]),
            ({"\ud800": {"a\ud800": 1}}, {"\ufffd": {"a\ufffd": 1}}),
            ([None, True, 1, 1.5], [None, True, 1, 1.5]),
        ],
    )
    def test_they_are_replaced_wherever_a_value_has_text_and_whole_pairs_are_joined(self, value: Any, clean: Any) -> None:
        assert without_surrogates(value) == clean

    @settings(max_examples=30, deadline=None)
    @given(
        st.recursive(
            st.text(alphabet="aé\ud83d\ude00", max_size=4),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(alphabet="a\ud83d"), inner, max_size=2),
        )
    )
    def test_what_is_left_can_be_encoded(self, value: Any) -> None:
        json.dumps(without_surrogates(value), ensure_ascii=False).encode()
