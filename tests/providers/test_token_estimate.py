"""The estimate of tokens: what each kind of character and part costs, and that more never costs less."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.providers import estimate_tokens, estimate_usage
from ecs_agent.providers.token_estimate import (
    FILE_TOKENS,
    IMAGE_TOKENS,
    LOW_IMAGE_TOKENS,
    estimate_message,
    estimate_text,
    tokens_in_characters,
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

PROSE = "The quick brown fox jumps over the lazy dog. " * 20
CODE = "def f(x: int) -> int:\n    return x * 2 + 1  # twice\n" * 20


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("four", 1),
        ("fives", 2),
        ("abcd efg", 2),
        ("1234", 2),
        ("{}[]", 2),
        ("       ", 1),
        ("x" + " " * 33, 3),  # 1/4 and 1/4, and 32 further spaces
        ("你好世界", 4),
        ("こんにちは", 5),
        ("안녕", 2),
        ("Привет", 3),
        ("äöü", 2),
        ("🎉", 2),
        ("𠀀", 1),
        ("ok 你好", 3),
        ("\ud800", 1),
    ],
)
def test_each_kind_of_character_has_its_price(text: str, tokens: int) -> None:
    assert estimate_text(text) == tokens


def test_prose_is_about_four_characters_a_token_and_code_about_three() -> None:
    assert 3.7 < len(PROSE) / estimate_text(PROSE) < 4.1
    assert 2.8 < len(CODE) / estimate_text(CODE) < 3.7


@given(st.text(max_size=60), st.text(max_size=60))
def test_texts_cost_no_more_together_than_apart(one: str, other: str) -> None:
    both = estimate_text(one + other)
    assert both <= estimate_text(one) + estimate_text(other)
    assert estimate_text(one) <= both + 1
    assert 0 <= both <= 2 * len(one + other)


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        (TextPart("four"), 1),
        (ReasoningPart("four"), 1),
        (RefusalPart("four"), 1),
        (ImagePart(url="https://example.com/a.png"), IMAGE_TOKENS),
        (ImagePart(data=b"x" * 10_000, detail="high"), IMAGE_TOKENS),
        (ImagePart(data=b"x" * 10_000, detail="low"), LOW_IMAGE_TOKENS),
        (AudioPart(b"x" * 32_000), 10),
        (FilePart(data=b"four", media_type="text/plain"), 1),
        (FilePart(data=b"\xff", media_type="application/pdf"), FILE_TOKENS),
        (FilePart(file_id="f"), FILE_TOKENS),
        (CitationPart("https://example.com"), 0),
        (OpaquePart("x", {"a": 1}), 4),
        (ToolCall("c", "look", {"a": 1}), 8 + 1 + 4),
        (ToolCall("c", "look", raw_arguments='{"a":', arguments_error="cut"), 8 + 1 + 3),
        (ToolCall("c", "look", {"a": ...}), 8 + 1 + 5),  # no JSON
    ],
    ids=lambda part: getattr(part, "tag", str(part)),
)
def test_each_kind_of_part_has_its_price(part: Part, tokens: int) -> None:
    assert estimate_message(Message("assistant", parts=[part])) == 4 + tokens


def test_a_request_is_its_prompt_its_tools_and_its_messages() -> None:
    messages = [Message("user", "four four"), Message("assistant", "four", name="four")]
    bare = estimate_tokens(messages)
    assert bare == 3 + (4 + 3) + (4 + 1 + 1)
    assert estimate_tokens(messages, system_prompt="four") == bare + 4 + 1
    tool = ToolSchema("look", "Look around.", {"type": "object"})
    assert estimate_tokens(messages, tools=[tool, tool]) - bare == 2 * (estimate_tokens(messages, tools=[tool]) - bare) > 20
    assert estimate_tokens([]) == 3


def test_a_usage_of_ours_says_that_it_is_estimated() -> None:
    messages = [Message("user", "four")]
    assert estimate_usage(messages, Message("assistant", "four four")) == Usage(8, 3, 11, estimated=True)
    assert estimate_usage(messages, Message("assistant"), system_prompt="four").prompt_tokens == 13


def test_a_stream_of_which_only_the_length_is_known_is_counted_by_the_same_rule_everywhere() -> None:
    assert [tokens_in_characters(count) for count in (0, 1, 4, 5)] == [0, 1, 1, 2]
    assert estimate_text("word " * 400) == tokens_in_characters(2000)
