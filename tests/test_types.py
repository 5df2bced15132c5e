"""The pure values: frozen, with views that follow from their parts, and refused where they would make no sense."""

from __future__ import annotations

import ast
import dataclasses
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent import message, types
from ecs_agent.types import (
    AudioPart,
    CompletionResult,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    RetryConfig,
    StreamDelta,
    TextPart,
    Timing,
    ToolCall,
    ToolCallFragment,
    ToolSchema,
    Usage,
)

TEXT = st.text(max_size=5)
PARTS = st.lists(
    st.one_of(
        TEXT.map(TextPart),
        TEXT.map(ReasoningPart),
        TEXT.map(RefusalPart),
        st.builds(ToolCall, TEXT, TEXT),
        st.just(ImagePart(url="https://example.invalid/a.png")),
        st.just(FilePart(file_id="f")),
        st.just(AudioPart(b"")),
        st.just(OpaquePart("openai-chat", {})),
    ),
    max_size=6,
)
COUNT = st.integers(0, 10**9)
USAGE = st.builds(Usage, COUNT, COUNT, COUNT, st.none() | COUNT, st.none() | COUNT, st.booleans())


class TestMessage:
    def test_the_simple_form(self) -> None:
        message = Message("user", "hello")
        assert message.parts == (TextPart("hello"),)
        assert (message.role, message.content, message.tool_calls) == ("user", "hello", None)
        assert (message.reasoning, message.refusal, message.tool_call_id, message.name) == ("", "", None, None)
        assert not message.interrupted
        assert not message.is_error
        assert message == Message(role="user", content="hello")

    def test_the_references_form_of_a_call_and_its_result(self) -> None:
        call = ToolCall("c1", "look", {"at": "it"})
        asked = Message("assistant", "I look.", [call])
        assert asked.parts == (TextPart("I look."), call)
        assert asked.tool_calls == [call]
        assert Message("assistant", None, [call]).parts == (call,)
        assert Message("tool", "seen", tool_call_id="c1").tool_call_id == "c1"

    @pytest.mark.parametrize("nothing", [None, "", ()])
    def test_nothing_said_is_no_part(self, nothing: Any) -> None:
        assert Message("assistant", nothing).parts == ()
        assert Message("assistant", nothing).content == ""

    @given(PARTS)
    def test_the_views_follow_from_the_parts_in_their_order(self, parts: list[Part]) -> None:
        message = Message("assistant", parts=parts)
        assert message.parts == tuple(parts)
        assert message.content == "".join(part.text for part in parts if isinstance(part, TextPart))
        assert message.reasoning == "".join(part.text for part in parts if isinstance(part, ReasoningPart))
        assert message.refusal == "".join(part.text for part in parts if isinstance(part, RefusalPart))
        assert (message.tool_calls or []) == [part for part in parts if isinstance(part, ToolCall)]
        assert message.tool_calls != []
        assert Message("assistant", parts) == message

    def test_its_parts_are_a_copy(self) -> None:
        parts: list[Part] = [TextPart("a")]
        message = Message("user", parts)
        parts.append(TextPart("b"))
        assert message.content == "a"

    def test_an_unknown_role_is_refused(self) -> None:
        with pytest.raises(ValueError, match="role is 'robot'; it must be"):
            Message("robot", "hello")  # type: ignore[arg-type]

    @pytest.mark.parametrize("more", [{"content": "a"}, {"tool_calls": []}])
    def test_parts_and_their_short_forms_together_are_refused(self, more: Any) -> None:
        with pytest.raises(ValueError, match="either parts, or content and tool_calls"):
            Message("user", parts=[TextPart("b")], **more)


class TestUsage:
    @given(USAGE, USAGE)
    def test_a_sum_counts_everything_once_and_is_estimated_when_either_is(self, first: Usage, second: Usage) -> None:
        total = first + second
        assert total == second + first
        assert total.prompt_tokens == first.prompt_tokens + second.prompt_tokens
        assert total.completion_tokens == first.completion_tokens + second.completion_tokens
        assert total.total_tokens == first.total_tokens + second.total_tokens
        assert total.estimated == (first.estimated or second.estimated)

    def test_what_a_provider_did_not_say_stays_unknown_and_is_not_counted_as_nothing(self) -> None:
        told, untold = Usage(1, 1, 2, cached_tokens=1, reasoning_tokens=0), Usage(1, 1, 2)
        assert (untold + untold).cached_tokens is None
        assert (told + untold).cached_tokens == (untold + told).cached_tokens == 1
        assert (told + told).cached_tokens == 2
        assert (told + untold).reasoning_tokens == 0
        assert (told + untold).cache_write_tokens is None
        written = Usage(5, 1, 6, cache_write_tokens=3)
        assert (written + untold).cache_write_tokens == (untold + written).cache_write_tokens == 3
        assert (written + written).cache_write_tokens == 6


class TestRetryConfig:
    def test_the_defaults_are_those_of_the_reference(self) -> None:
        config = RetryConfig()
        assert (config.max_attempts, config.multiplier, config.min_wait, config.max_wait) == (3, 1.0, 4.0, 60.0)
        assert config.retry_status_codes == (429, 500, 502, 503, 504)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"max_attempts": 0}, "max_attempts is 0"),
            ({"min_wait": -1.0}, "0 <= min_wait <= max_wait, got -1.0 and 60.0"),
            ({"min_wait": 5.0, "max_wait": 4.0}, "got 5.0 and 4.0"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            RetryConfig(**wrong)

    def test_the_limits_themselves_are_fine(self) -> None:
        assert RetryConfig(max_attempts=1, min_wait=0.0, max_wait=0.0).max_attempts == 1


VALUES = [found for found in vars(types).values() if isinstance(found, type) and dataclasses.is_dataclass(found)]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_every_value_is_frozen_with_slots_but_the_delta_which_is_made_by_the_million(value: Any) -> None:
    assert value.__dataclass_params__.frozen == (value is not StreamDelta)
    assert "__slots__" in vars(value)
    assert value.__doc__, "a value says what it is"


TAGS = {
    TextPart: "text",
    ImagePart: "image",
    FilePart: "file",
    AudioPart: "audio",
    ReasoningPart: "reasoning",
    RefusalPart: "refusal",
    OpaquePart: "opaque",
    ToolCall: "tool_call",
}


@pytest.mark.parametrize(("kind", "tag"), TAGS.items())
def test_the_tags_under_which_parts_are_stored_do_not_change(kind: Any, tag: str) -> None:
    assert kind.tag == tag
    assert "tag" not in {field.name for field in dataclasses.fields(kind)}


def test_the_references_fields_keep_their_places() -> None:
    assert ToolCall("id", "name", {"a": 1}).arguments == {"a": 1}
    assert ToolSchema("name", "what it does", {"type": "object"}).parameters == {"type": "object"}
    assert Usage(1, 2, 3).total_tokens == 3
    result = CompletionResult(Message("assistant", "hi"), Usage(1, 2, 3))
    assert (result.finish_reason, result.raw_finish_reason, result.timing) == (None, None, None)
    assert StreamDelta("text", None, "stop", Usage(1, 2, 3)).finish_reason == "stop"
    assert StreamDelta() == StreamDelta(None, None, None, None)
    assert not StreamDelta().final
    assert ToolCallFragment(0).arguments == ""
    assert Timing().deltas == 0


def test_two_calls_do_not_share_their_arguments() -> None:
    assert ToolCall("a", "b").arguments is not ToolCall("a", "b").arguments


@pytest.mark.parametrize("module", [types, message], ids=lambda module: module.__name__)
def test_the_module_needs_nothing_but_the_standard_library(module: ModuleType) -> None:
    tree = ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {str(name).split(".")[0] for name in imported - {"ecs_agent.message"}} <= sys.stdlib_module_names
