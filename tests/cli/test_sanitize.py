"""What a model writes cannot drive the terminal, however it is cut into pieces; ordinary text is not touched."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ecs_agent.cli.sanitize import TerminalSanitizer, one_line, sanitize

FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# Text in which sequences begin, break off and end often.
HOSTILE = st.lists(
    st.sampled_from(
        [
            "\x1b",
            "[",
            "]",
            "P",
            "_",
            "\\",
            "0",
            ";",
            "1",
            " ",
            "m",
            "H",
            "\x07",
            "\x9b",
            "\x9d",
            "\x9c",
            "\x18",
            "\r",
            "\n",
            "a",
            "é",
            "👩‍🚀",
            "\u202e",
        ]
    )
    | st.characters(),
    max_size=40,
).map("".join)


def in_pieces(text: str, cuts: list[int]) -> str:
    sanitizer = TerminalSanitizer()
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    shown = [sanitizer.feed(text[start:end]) for start, end in itertools.pairwise(places)]
    return "".join(shown) + sanitizer.flush()


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38;2;1;2;3mcolour\x1b[m", "colour"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x9b31mone character begins it too", "one character begins it too"),
        ("\x1b]0;a new title\x07text", "text"),
        ("\x1b]52;c;cm0gLXJm\x1b\\text", "text"),
        ("\x9d0;title\x9ctext", "text"),
        ("\x1b]8;;https://a.example\x1b\\https://b.example\x1b]8;;\x1b\\", "https://b.example"),
        ("\x1bPq#0;2;0\x1b\\sixel", "sixel"),
        ("\x1b_Gf=24\x1b\\picture", "picture"),
        ("\x1b(0lqqk\x1b(B", "lqqk"),
        ("\x1bcreset", "reset"),
        ("\x1b7\x1b8", ""),
    ],
)
def test_a_complete_sequence_is_dropped(written: str, shown: str) -> None:
    assert sanitize(written) == shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b", "␛"),
        ("\x1b[12", "␛[12"),
        ("\x1b[1\n2m", "␛[1\n2m"),
        ("\x1b]0;never ended\nthe answer goes on", "␛]0;never ended\nthe answer goes on"),
        ("\x1b]0;one \x1b[31mwithin another\x07", "␛]0;one within another␇"),
        ("\x1b\x1b[31mx", "␛x"),
        ("\x9d" + "a" * 5000 + "\x07", "�" + "a" * 5000 + "␇"),
    ],
)
def test_an_incomplete_sequence_hides_nothing_behind_it(written: str, shown: str) -> None:
    assert sanitize(written) == shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("ding\x07", "ding␇"),
        ("secret\b\b\b\b\b\bpublic", "secret␈␈␈␈␈␈public"),
        ("100 %\r  1 %", "100 %␍  1 %"),
        ("windows\r\nlines\r\n", "windows\nlines\n"),
        ("nul\x00del\x7fnel\x85", "nul␀del␡nel�"),
        ("half an emoji \ud83d", "half an emoji �"),
        ("user\u202enimda\u202c \u2066x\u2069", "usernimda x"),
    ],
)
def test_other_controls_are_shown_or_dropped(written: str, shown: str) -> None:
    assert sanitize(written) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain\n\tindented\n",
        "Grüße, 世界, שלום, مرحبا, नमस्ते",
        "👩‍👩‍👧‍👦 🏴󠁧󠁢󠁥󠁮󠁧󠁿 👍🏽 ❤️ e\u0301",
        "\u200eleft\u200fright\u061c no\u00a0break soft\u00adhyphen zero\u200bwidth",
        "[31m is just text, and so is ]0;title",
        "\u2028\u2029 ␛ �",
    ],
)
def test_ordinary_text_is_not_touched(text: str) -> None:
    assert sanitize(text) == text
    assert in_pieces(text, list(range(len(text)))) == text


@given(HOSTILE, st.lists(st.integers(min_value=0), max_size=8))
@example("\x1b]0;title\x1b\\x", [2, 9, 10])
@example("a\r\nb", [2])
def test_no_control_gets_out_and_no_cut_makes_a_difference(text: str, cuts: list[int]) -> None:
    shown = in_pieces(text, cuts)
    assert not FORBIDDEN.search(shown)
    assert shown == sanitize(text)


@given(HOSTILE)
def test_what_is_safe_stays_as_it_is(text: str) -> None:
    assert sanitize(sanitize(text)) == sanitize(text)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")))
def test_text_without_controls_passes_at_once(text: str) -> None:
    assert TerminalSanitizer().feed(text) == text


def test_text_before_a_beginning_sequence_is_not_held_back() -> None:
    sanitizer = TerminalSanitizer()
    assert sanitizer.feed("now\x1b") == "now"
    assert sanitizer.feed("[3") == ""
    assert sanitizer.feed("1mred") == "red"


def test_what_is_held_back_is_bounded() -> None:
    sanitizer = TerminalSanitizer()
    assert sanitizer.feed("\x1b]" + "a" * 4096) == ""
    assert sanitizer.feed("a") == "␛]" + "a" * 4097


def test_a_flushed_sanitizer_is_as_new() -> None:
    sanitizer = TerminalSanitizer()
    sanitizer.feed("\x1b[3")
    assert sanitizer.flush() == "␛[3"
    assert sanitizer.feed("1m") == "1m"


@pytest.mark.parametrize("unit", ["\x1b]", "\x9d", "\x9b", "\x1b[1", "\x1b]" + "a" * 4000, "\x1b\x1b\x1b\x1b ", "\r"])
def test_hostile_text_takes_linear_time(unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        start = time.process_time()
        sanitize(text)
        return time.process_time() - start

    assert seconds(80_000) < 40 * max(seconds(10_000), 0.001)


def test_one_line_is_one_line() -> None:
    assert one_line("  two\n\nlines\tand \x1b[1mmore\r\n") == "two lines and more"
    assert one_line("abcdefgh", 5) == "abcd…"
    assert one_line("abcde", 5) == "abcde"
