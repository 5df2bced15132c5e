"""Single fields of the chat protocol: what each word, count, content and log probability means, and what is none."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.wire import decode, written

from ecs_agent.errors import ServerError
from ecs_agent.providers.openai_chat.fields import logprobs_of, texts_of, usage_of
from ecs_agent.providers.wire.finish_words import FINISH, FINISH_ERRORS, NO_FINISH, finish_words
from ecs_agent.providers.wire.surrogates import Surrogates
from ecs_agent.types import TokenLogprob, Usage

HIGH, LOW = "\ud83d", "\ude00"  # the halves of 😀


def ending(word: Any, **delta: Any) -> Any:
    return decode([written({"delta": {"content": "a"} | delta}), written({"finish": word}), b"data: [DONE]\n\n"])


class TestFinishWords:
    @pytest.mark.parametrize(
        ("word", "readings"),
        [
            ("stop", ("stop",)),
            (" STOP\n", ("stop",)),
            ("content_filter: SPII", ("content_filter: spii", "spii", "content_filter")),
            ("a:b:c", ("a:b:c", "c", "b", "a")),
            ("", ("",)),
        ],
    )
    def test_a_word_is_read_as_it_stands_then_by_its_parts_from_the_last_to_the_first(self, word: str, readings: tuple[str, ...]) -> None:
        assert finish_words(word) == readings

    @pytest.mark.parametrize("write", [str, str.upper, str.title, " {} ".format, "reason: {}".format, "{}: because".format])
    @pytest.mark.parametrize(("word", "reason"), FINISH.items())
    def test_every_word_means_its_reason_in_every_case_and_beside_another(self, word: str, reason: str, write: Any) -> None:
        outcome = ending(write(word))
        assert (outcome.error, outcome.result.finish_reason, outcome.result.raw_finish_reason) == (None, reason, write(word))

    @pytest.mark.parametrize("write", [str, str.upper, "{}: because".format, "stop: {}".format])
    @pytest.mark.parametrize("word", sorted(FINISH_ERRORS))
    def test_a_word_that_says_that_there_is_no_answer_is_an_error(self, word: str, write: Any) -> None:
        error = ending(write(word)).error
        assert isinstance(error, ServerError)
        assert str(error) == f"the server gave the answer up with {write(word)!r}; asking again may help"

    @pytest.mark.parametrize("write", [str, str.upper])
    @pytest.mark.parametrize("word", sorted(NO_FINISH))
    def test_a_word_that_says_that_the_answer_goes_on_ends_nothing(self, word: str, write: Any) -> None:
        events = [written({"delta": {"content": "a"}, "finish": write(word)}), written({"delta": {"content": "b"}}), written({"finish": "length"})]
        result = decode(events).result
        assert (result.message.content, result.finish_reason, result.raw_finish_reason) == ("ab", "length", "length")

    def test_the_last_part_that_is_known_decides(self) -> None:
        assert ending("stop: length").result.finish_reason == "length"
        assert ending("length: whatever").result.finish_reason == "length"

    def test_an_unknown_word_is_no_reason_and_is_kept(self) -> None:
        result = ending("stopped_early").result
        assert (result.finish_reason, result.raw_finish_reason, result.message.interrupted) == (None, "stopped_early", False)


class TestUsage:
    def test_counts_are_what_the_server_says(self) -> None:
        found = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9}
        assert usage_of(found) == Usage(3, 4, 9)

    @pytest.mark.parametrize(
        ("found", "usage"),
        [
            ({"prompt_tokens": 3}, Usage(3, 0, 3)),
            ({"completion_tokens": 4}, Usage(0, 4, 4)),
            ({"prompt_tokens": 3, "completion_tokens": 4}, Usage(3, 4, 7)),
            ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, Usage(0, 0, 0)),
            ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 0}, Usage(3, 4, 0)),
            ({"prompt_tokens": 3.0, "completion_tokens": 4.0, "total_tokens": 7.0}, Usage(3, 4, 7)),
            ({"prompt_tokens": 3, "completion_tokens": "4", "total_tokens": None}, Usage(3, 0, 3)),
            ({"input_tokens": 3, "output_tokens": 4}, Usage(3, 4, 7)),
            ({"prompt_tokens": 3, "input_tokens": 9, "completion_tokens": 4, "output_tokens": 9}, Usage(3, 4, 7)),
            ({"prompt_tokens": None, "input_tokens": 3, "completion_tokens": -4, "output_tokens": 4}, Usage(3, 4, 7)),
            ({"prompt_tokens": 3, "total_tokens": 9}, Usage(3, 6, 9)),
            ({"prompt_tokens": 0, "total_tokens": 9}, Usage(0, 9, 9)),
            ({"completion_tokens": 4, "total_tokens": 9}, Usage(5, 4, 9)),
            ({"completion_tokens": 0, "total_tokens": 9}, Usage(9, 0, 9)),
            ({"completion_tokens": 4, "total_tokens": 3}, Usage(0, 4, 3)),
            ({"prompt_tokens": 4, "total_tokens": 3}, Usage(4, 0, 3)),
        ],
    )
    def test_a_total_that_is_missing_is_the_sum_and_a_count_that_is_missing_what_the_total_leaves(self, found: Any, usage: Usage) -> None:
        assert usage_of(found) == usage
        assert all(type(count) is int for count in (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens))

    @pytest.mark.parametrize("found", [None, 7, "7", [], [1], {}, {"total_tokens": 7}, {"prompt_tokens": None, "completion_tokens": None}])
    def test_what_counts_nothing_is_no_usage(self, found: Any) -> None:
        assert usage_of(found) is None

    @pytest.mark.parametrize("count", [-1, True, False, "3", None, [3], math.nan, math.inf, 1e15, 10**400])
    def test_what_is_no_count_counts_nothing(self, count: Any) -> None:
        assert usage_of({"prompt_tokens": count}) is None
        assert usage_of({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": count}) == Usage(1, 1, 2)

    def test_the_largest_count_is_below_a_quadrillion(self) -> None:
        assert usage_of({"prompt_tokens": 10**15 - 1}) == Usage(10**15 - 1, 0, 10**15 - 1)

    @pytest.mark.parametrize(
        ("beside", "cached", "reasoning"),
        [
            ({"prompt_tokens_details": {"cached_tokens": 2}}, 2, None),
            ({"prompt_tokens_details": {"cached_tokens": 0}, "cached_tokens": 2}, 0, None),
            ({"prompt_tokens_details": {"cached_tokens": None}, "cached_tokens": 2}, 2, None),
            ({"prompt_tokens_details": None, "cached_tokens": 2}, 2, None),
            ({"prompt_cache_hit_tokens": 2}, 2, None),
            ({"prompt_tokens_details": {"prompt_cache_hit_tokens": 2}}, 2, None),
            ({"cached_tokens": 1, "prompt_cache_hit_tokens": 2}, 1, None),
            ({"completion_tokens_details": {"reasoning_tokens": 5}}, None, 5),
            ({"completion_tokens_details": {"reasoning_tokens": -5}, "reasoning_tokens": 6}, None, 6),
            ({"completion_tokens_details": [], "reasoning_tokens": 6}, None, 6),
            ({"prompt_tokens_details": {"reasoning_tokens": 5}, "completion_tokens_details": {"cached_tokens": 5}}, None, None),
        ],
    )
    def test_cached_and_reasoning_tokens_stand_in_a_group_of_their_own_or_beside_the_others(
        self, beside: dict[str, Any], cached: int | None, reasoning: int | None
    ) -> None:
        assert usage_of({"prompt_tokens": 3, "completion_tokens": 4} | beside) == Usage(3, 4, 7, cached, reasoning)

    @pytest.mark.parametrize("beside", [{"prompt_tokens_details": {"cache_write_tokens": 2}}, {"cache_write_tokens": 2}])
    def test_so_do_tokens_that_were_written_to_a_cache(self, beside: dict[str, Any]) -> None:
        assert usage_of({"prompt_tokens": 3, "completion_tokens": 4} | beside) == Usage(3, 4, 7, cache_write_tokens=2)


class TestTexts:
    @pytest.mark.parametrize(
        ("content", "text", "thought"),
        [
            ("a", "a", ""),
            ("", "", ""),
            (None, "", ""),
            (7, "", ""),
            ({"text": "a"}, "", ""),
            ([], "", ""),
            (["a", "b"], "ab", ""),
            ([{"text": "a"}, {"type": "text", "text": "b"}, {"type": "output_text", "text": "c"}], "abc", ""),
            ([None, 7, ["a"], {"type": "text"}, {"type": "text", "text": 7}], "", ""),
            (
                [{"type": "thinking", "thinking": "t"}, {"type": "reasoning", "reasoning": "u"}, {"type": "redacted_thinking", "text": "v"}, "a"],
                "a",
                "tuv",
            ),
            ([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}, "r"]}], "", "sr"),
            ([{"type": "thinking", "thinking": [{"type": "text", "text": "a"}, {"type": "thinking", "text": "b"}]}], "", "ab"),
            ([{"type": "text", "content": "a"}, {"type": "text", "content": [{"text": "b"}]}], "ab", ""),
            ([{"type": "text", "summary": "a"}, {"thinking": "b"}], "ab", ""),
        ],
    )
    def test_text_and_thoughts_of_a_content(self, content: Any, text: str, thought: str) -> None:
        assert texts_of(content) == (text, thought)

    def test_the_first_name_that_holds_a_text_counts(self) -> None:
        assert texts_of([{"text": None, "thinking": "b", "reasoning": "c", "summary": "d", "content": "e"}]) == ("b", "")
        assert texts_of([{"text": "a", "content": "e"}]) == ("a", "")
        assert texts_of([{"reasoning": "c", "summary": "d", "content": "e"}]) == ("c", "")
        assert texts_of([{"summary": "d", "content": "e"}]) == ("d", "")


class TestLogprobs:
    def test_a_token_has_its_logarithm_its_bytes_and_the_likeliest_of_its_place(self) -> None:
        top = [{"token": "a", "logprob": -0.5, "bytes": [97]}, {"token": "b", "logprob": -2, "bytes": None}]
        (made,) = logprobs_of({"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": top}]})
        assert made == TokenLogprob("a", -0.5, b"a", (TokenLogprob("a", -0.5, b"a"), TokenLogprob("b", -2.0)))
        assert type(made.top[1].logprob) is float

    def test_those_of_the_text_come_before_those_of_a_refusal(self) -> None:
        found = {"refusal": [{"token": "r", "logprob": -1}], "content": [{"token": "a", "logprob": -1}, {"token": "b", "logprob": -1}]}
        assert [made.token for made in logprobs_of(found)] == ["a", "b", "r"]

    @pytest.mark.parametrize(
        "found", [None, 7, [], [{"token": "a", "logprob": -1}], {}, {"content": None}, {"content": {"token": "a", "logprob": -1}}]
    )
    def test_what_holds_none(self, found: Any) -> None:
        assert logprobs_of(found) == ()

    @pytest.mark.parametrize(
        "entry", [None, 7, "a", [], {}, {"token": "a"}, {"logprob": -1}, {"token": None, "logprob": -1}, {"token": "a", "logprob": "-1"}]
    )
    def test_an_entry_that_is_none_is_left_out(self, entry: Any) -> None:
        good = {"token": "b", "logprob": -1.0}
        assert logprobs_of({"content": [entry, good]}) == (TokenLogprob("b", -1.0),)
        assert logprobs_of({"content": [{**good, "top_logprobs": [entry, good]}]}) == (TokenLogprob("b", -1.0, top=(TokenLogprob("b", -1.0),)),)

    @pytest.mark.parametrize(
        ("found", "utf8"),
        [([0, 255], b"\x00\xff"), ([], b""), (None, None), ([256], None), ([-1], None), (["a"], None), ([1, 1.5], None), ("a", None)],
    )
    def test_bytes_are_numbers_of_a_byte_or_unknown(self, found: Any, utf8: bytes | None) -> None:
        assert logprobs_of({"content": [{"token": "a", "logprob": -1, "bytes": found}]}) == (TokenLogprob("a", -1.0, utf8),)

    def test_likeliest_that_are_no_list_are_none(self) -> None:
        assert logprobs_of({"content": [{"token": "a", "logprob": -1, "top_logprobs": {"b": -2}}]}) == (TokenLogprob("a", -1.0),)

    def test_they_come_with_the_delta_of_their_text_and_a_delta_may_hold_them_alone(self) -> None:
        said = {"content": [{"token": "a", "logprob": -1}]}
        outcome = decode([
            written({"delta": {"content": "a"}, "choice": {"logprobs": said}}),
            written({"delta": {}, "choice": {"logprobs": said}}),
            written({"finish": "stop"}),
        ])  # fmt: skip
        assert [(delta.content, len(delta.logprobs)) for delta in outcome.deltas] == [("a", 1), (None, 1), (None, 0)]
        assert len(outcome.result.logprobs) == 2


class TestSurrogates:
    def test_a_pair_that_was_cut_is_joined(self) -> None:
        channel = Surrogates()
        assert (channel.whole("content", "a" + HIGH), channel.active) == ("a", True)
        assert (channel.whole("content", LOW + "b"), channel.active) == ("😀b", False)

    def test_a_pair_in_one_piece_is_joined_at_once(self) -> None:
        assert Surrogates().whole("content", HIGH + LOW) == "😀"

    @pytest.mark.parametrize("text", ["", "a", "é", "😀", "\ud7ff", "\ue000"])
    def test_text_without_halves_stays_as_it_is_and_waits_for_nothing(self, text: str) -> None:
        channel = Surrogates()
        assert (channel.whole("content", text), channel.active) == (text, False)

    @pytest.mark.parametrize("code", [0xD800, 0xDBFF])
    def test_every_first_half_at_the_end_waits(self, code: int) -> None:
        half = chr(code)
        channel = Surrogates()
        assert (channel.whole("content", "é" + half), channel.active) == ("é", True)
        assert channel.rest_of("content") == "\ufffd"

    @pytest.mark.parametrize("code", [0xDC00, 0xDFFF])
    def test_a_second_half_waits_for_nothing(self, code: int) -> None:
        channel = Surrogates()
        assert (channel.whole("content", chr(code)), channel.active) == ("\ufffd", False)

    def test_half_of_a_pair_before_other_text_is_replaced(self) -> None:
        channel = Surrogates()
        assert channel.whole("content", HIGH) == ""
        assert channel.whole("content", "a") == "\ufffda"
        assert channel.whole("content", "b" + HIGH + "c") == "b\ufffdc"

    def test_an_empty_piece_between_the_halves_changes_nothing(self) -> None:
        channel = Surrogates()
        assert [channel.whole("content", piece) for piece in (HIGH, "", LOW)] == ["", "", "😀"]

    def test_each_channel_waits_for_itself(self) -> None:
        channel = Surrogates()
        assert [channel.whole(name, HIGH) for name in ("content", "reasoning", 0)] == ["", "", ""]
        assert channel.whole("content", "a") == "\ufffda"
        assert channel.whole(0, LOW) == "😀"
        assert (channel.rest_of("content"), channel.rest_of("reasoning"), channel.rest_of(0)) == ("", "\ufffd", "")

    def test_what_never_became_whole_is_told_once(self) -> None:
        channel = Surrogates()
        channel.whole("content", HIGH)
        assert (channel.rest_of("content"), channel.rest_of("content"), channel.active) == ("\ufffd", "", False)

    @given(st.lists(st.text(st.sampled_from(["a", "é", "😀", HIGH, LOW]), max_size=4), max_size=6))
    def test_pieces_give_what_their_joined_text_gives(self, pieces: list[str]) -> None:
        cut, whole = Surrogates(), Surrogates()
        joined = "".join([cut.whole("content", piece) for piece in pieces]) + cut.rest_of("content")
        assert joined == whole.whole("content", "".join(pieces)) + whole.rest_of("content")
        joined.encode()
