# ruff: noqa: RUF001  # the marks of other scripts are what is tested
"""Where an arriving text may be cut: at whole words and whole sentences."""

from __future__ import annotations

import re
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_agent.streaming.text_breaks import _SPACES, MOST_IN_A_SENTENCE, MOST_IN_A_WORD, whole_sentences, whole_words


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("", ""),
        ("wor", ""),
        ("word ", "word "),
        ("two wor", "two "),
        (" wor", " "),
        ("one\ntwo\tthr", "one\ntwo\t"),
        ("narrow\u00a0spa", "narrow\u00a0"),
        ("well-known, ok", "well-known, "),
        ("你好", "你好"),
        ("你好 wor", "你好 "),
        ("「はい」", "「はい」"),
        ("カタカナ、ok", "カタカナ、"),
        ("한국어 단", "한국어 "),
        ("𠮷野", "𠮷野"),
        ("naïve", ""),
        ("👩‍💻", ""),
    ],
)
def test_a_word_is_whole_behind_white_space_or_a_character_of_a_script_without_spaces(text: str, whole: str) -> None:
    assert text[: whole_words(text)] == whole


def test_a_word_without_end_is_whole_at_64_characters() -> None:
    assert whole_words("x" * (MOST_IN_A_WORD - 1)) == 0
    assert whole_words("x" * MOST_IN_A_WORD) == MOST_IN_A_WORD == 64
    assert whole_words("a " + "x" * MOST_IN_A_WORD) == 2


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("", ""),
        ("It is so", ""),
        ("It is so.", ""),  # whether it ends here is not known yet
        ("It is so. ", ""),
        ("It is so. A", "It is so. "),
        ("Is it? Yes! It is… So", "Is it? Yes! It is… "),
        ("What?! No", "What?! "),
        ("Wait... Now", "Wait... "),
        ("He said “no.” Then", "He said “no.” "),
        ("(It is.) Then", "(It is.) "),
        ("**It is.** Then", "**It is.** "),
        ("你好。", ""),
        ("你好。再", "你好。"),
        ("真的！？是", "真的！？"),
        ("「はい。」と", "「はい。」"),
        ("はい｡と", "はい｡"),
        ("# Title\n", ""),
        ("# Title\nText", "# Title\n"),
        ("- one\n\n- two", "- one\n\n"),
        ("So?\n then", "So?\n"),
        ("So?  \nthen", "So?  \n"),
    ],
)
def test_a_sentence_is_whole_when_the_next_one_has_begun(text: str, whole: str) -> None:
    assert text[: whole_sentences(text)] == whole


@pytest.mark.parametrize(
    "text",
    [
        "Pi is 3.14 or so",
        "Pi is 3.",
        "a.b.c is ok",
        "Fruit, e.g. Apples",
        "Fruit, i.e. apples",
        "(e.g. Apples",
        "the U.S. Navy",
        "by J. Smith",
        "by “J. Smith",
        "Dr. Who",
        "ask Mr. Smith",
        "cats vs. Dogs",
        "apples, pears etc. are",
        "Yahoo! is",
        "“What?” he said",
        "wait… what",
        "1. First",
        "  12. Twelfth",
    ],
)
def test_a_mark_that_ends_no_sentence(text: str) -> None:
    assert whole_sentences(text) == 0


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("That was in 2024. Then", "That was in 2024. "),
        ("Done. 1. First", "Done. "),
        ("Is it e.g.? No", "Is it e.g.? "),
        ("He is 5! Yes", "He is 5! "),
        ("By me. Dr. Who", "By me. "),
        ("... And so", "... "),
        (". And so", ". "),
        ("A cat! A dog", "A cat! "),
        ("Grade A! Yes", "Grade A! "),
    ],
)
def test_a_mark_that_ends_one_all_the_same(text: str, whole: str) -> None:
    assert text[: whole_sentences(text)] == whole


def test_a_sentence_without_end_is_cut_at_its_last_word_at_2000_characters() -> None:
    words = "word " * 400
    assert len(words) == MOST_IN_A_SENTENCE == 2000
    assert whole_sentences(words[:-1]) == 0
    assert whole_sentences(words) == 2000
    assert whole_sentences(words + "wor") == 2000
    assert whole_sentences("x" * 2000) == 2000


@pytest.mark.parametrize("piece", [".", "\n", "。", "!”", ". ", "*", " ", "a.", ".\n"])
def test_no_text_is_slow_to_look_at(piece: str) -> None:
    text = piece * 20_000
    began = time.process_time()
    whole_sentences(text)
    whole_words(text)
    assert time.process_time() - began < 0.5  # a square of the length would take minutes


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("aB1 .!?…。！\n”)e"), max_size=40))
def test_what_is_whole_is_a_beginning_and_stays_whole(text: str) -> None:
    for whole in (whole_words, whole_sentences):
        ends = [whole(text[:length]) for length in range(len(text) + 1)]
        assert all(0 <= end <= length for length, end in enumerate(ends))
        assert ends == sorted(ends)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(st.sampled_from("aB1 .!?…。！\n”)e\u3000\u2003"), max_size=6), max_size=10))
def test_what_was_looked_at_before_need_not_be_looked_at_again(pieces: list[str]) -> None:
    text, seen = "", 0
    for piece in pieces:
        text += piece
        end = whole_sentences(text, seen)
        assert end == whole_sentences(text)
        text = text[end:]
        seen = len(text)


def test_all_white_space_is_known() -> None:
    assert set(_SPACES) == {chr(code) for code in range(sys.maxunicode + 1) if re.match(r"\s", chr(code))}
