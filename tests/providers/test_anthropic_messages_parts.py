"""Parts of messages as content blocks of the Messages protocol."""

from __future__ import annotations

from typing import Any

import pytest
from tests.providers.messages_wire import JSON

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.anthropic_messages.parts import assistant_blocks, result_block, user_blocks
from ecs_agent.providers.wire.call_results import NO_RESULT
from ecs_agent.types import AudioPart, CitationPart, FilePart, ImagePart, Message, OpaquePart, Part, ReasoningPart, TextPart, ToolCall

CHAR = {"type": "char_location", "cited_text": "q", "document_index": 0, "document_title": None, "start_char_index": 0, "end_char_index": 1}
CALL = ToolCall("c", "f")


def text(said: str, *sources: JSON) -> JSON:
    return {"type": "text", "text": said, **({"citations": list(sources)} if sources else {})}


def spoken(*parts: Part) -> list[JSON]:
    return assistant_blocks(Message("assistant", parts=parts), {at: f"id{at}" for at, part in enumerate(parts) if isinstance(part, ToolCall)})


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (ImagePart(url="https://x.example/a.png", detail="low"), {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}),
        (
            ImagePart(data=b"\x01", media_type="image/webp"),
            {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "AQ=="}},
        ),
        (ImagePart(url="data:image/gif;base64,AQ=="), {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "AQ=="}}),
        (
            ImagePart(url="data:image/svg+xml;charset=utf-8;x=1,<svg viewBox='0,0'/>"),
            {"type": "image", "source": {"type": "base64", "media_type": "image/svg+xml", "data": "PHN2ZyB2aWV3Qm94PScwLDAnLz4="}},
        ),
        (ImagePart(url="https://x.example/w=1,h=2"), {"type": "image", "source": {"type": "url", "url": "https://x.example/w=1,h=2"}}),
        (ImagePart(url="data:image/png"), {"type": "image", "source": {"type": "url", "url": "data:image/png"}}),
        (ImagePart(url="data:,a%20b"), {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "YSBi"}}),
        (FilePart(file_id="f1"), {"type": "document", "source": {"type": "file", "file_id": "f1"}}),
        (FilePart(file_id="f1", filename="a.png", media_type="image/png"), {"type": "image", "source": {"type": "file", "file_id": "f1"}}),
        (
            FilePart(data=b"\x03", filename="a.pdf", media_type="application/pdf"),
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "Aw=="}, "title": "a.pdf"},
        ),
        (FilePart(data=b"\x03", media_type="image/png"), {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "Aw=="}}),
        (
            FilePart(data="é".encode(), filename="a.md", media_type="Text/Markdown; charset=utf-8"),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "é"}, "title": "a.md"},
        ),
        (
            FilePart(data=b"a\xff", media_type="text/plain"),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a\ufffd"}},
        ),
        (FilePart(data=b"", media_type="text/plain"), {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": ""}}),
        (
            FilePart(data=b"\x03", media_type="application/pdf; version=1.7"),
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "Aw=="}},
        ),
        (
            FilePart(data=b"{}", media_type="application/json"),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "{}"}},
        ),
        (OpaquePart("anthropic", {"type": "container_upload", "file_id": "f"}), {"type": "container_upload", "file_id": "f"}),
    ],
)
def test_what_a_user_shows(part: Part, sent: JSON) -> None:
    assert user_blocks([TextPart("see"), part]) == [text("see"), sent]


@pytest.mark.parametrize(
    "part", [TextPart(" \n"), OpaquePart("gemini", {"type": "x"}), OpaquePart("anthropic", {"signature": "S"}), ReasoningPart("t"), CALL]
)
def test_what_is_no_users_is_left_out(part: Part) -> None:
    assert user_blocks([part]) == []


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (AudioPart(b""), "the Messages API takes no audio; send what is said as text, or ask a model that hears"),
        (
            FilePart(data=b"", media_type="application/zip"),
            "the Messages API takes no file of type 'application/zip'; send a PDF, an image or text, or upload it: file_id",
        ),
    ],
)
def test_what_the_api_cannot_carry_is_refused_before_it_is_sent(part: Part, words: str) -> None:
    with pytest.raises(UnsupportedFeatureError, match=f"^{words}$"):
        user_blocks([part])


def test_audio_of_an_assistant_is_refused_too() -> None:
    words = "the Messages API takes no audio; send what was said as text, or ask a model that hears"
    with pytest.raises(UnsupportedFeatureError, match=f"^{words}$"):
        spoken(AudioPart(b""))


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        (Message("tool", "42", tool_call_id="c"), {"content": "42"}),
        (Message("tool", "", tool_call_id="c"), {}),
        (Message("tool", "bad", tool_call_id="c", is_error=True), {"content": "bad", "is_error": True}),
        (Message("tool", [TextPart("a"), TextPart("b")], tool_call_id="c"), {"content": [text("a"), text("b")]}),
        (
            Message("tool", [ImagePart(data=b"\x01")], tool_call_id="c"),
            {"content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AQ=="}}]},
        ),
        (None, {"content": NO_RESULT, "is_error": True}),
    ],
)
def test_results(message: Message | None, sent: JSON) -> None:
    assert result_block("c", message, CALL) == {"type": "tool_result", "tool_use_id": "c", **sent}


def test_a_result_names_the_set_of_tools_that_its_call_named() -> None:
    call = ToolCall("c", "click", opaque={"anthropic": {"toolset_name": "computer"}})
    assert result_block("c", Message("tool", "ok"), call)["toolset_name"] == "computer"
    assert spoken(call) == [{"type": "tool_use", "id": "id0", "name": "click", "input": {}, "toolset_name": "computer"}]


def test_a_call_that_could_not_be_read_goes_back_as_an_object_that_says_so() -> None:
    (sent,) = spoken(ToolCall("c", "f", raw_arguments='{"a', arguments_error="They end too soon."))
    assert sent["input"] == {"invalid_arguments": '{"a'}


@pytest.mark.parametrize(
    ("parts", "sent"),
    [
        ([ReasoningPart("t"), OpaquePart("anthropic", {"signature": "S"})], [{"type": "thinking", "thinking": "t", "signature": "S"}]),
        ([ReasoningPart("t", {"anthropic": {"signature": "S"}})], [{"type": "thinking", "thinking": "t", "signature": "S"}]),
        ([ReasoningPart("t")], []),
        ([ReasoningPart("t"), OpaquePart("anthropic", {"signature": ""})], []),
        ([ReasoningPart("t"), OpaquePart("anthropic", {"signature": 5})], []),
        ([ReasoningPart("t", {"anthropic": 5})], []),
        ([ReasoningPart("t"), TextPart("a"), OpaquePart("anthropic", {"signature": "S"})], [text("a")]),
        ([ReasoningPart("t"), OpaquePart("anthropic", {"type": "redacted_thinking", "data": "E"})], [{"type": "redacted_thinking", "data": "E"}]),
        (
            [ReasoningPart("t", {"anthropic": {"signature": "S"}}), OpaquePart("anthropic", {"type": "redacted_thinking", "data": "E"})],
            [{"type": "thinking", "thinking": "t", "signature": "S"}, {"type": "redacted_thinking", "data": "E"}],
        ),
        (
            [ReasoningPart("t"), OpaquePart("anthropic", {"type": "thinking", "thinking": "", "signature": "S2"})],
            [{"type": "thinking", "thinking": "", "signature": "S2"}],
        ),
    ],
)
def test_thoughts_go_back_with_their_own_signature_or_not_at_all(parts: list[Part], sent: list[JSON]) -> None:
    assert spoken(*parts) == sent


def cited(start: int | None, end: int | None, **data: Any) -> CitationPart:
    return CitationPart("u", start=start, end=end, data=CHAR | data)


@pytest.mark.parametrize(
    ("parts", "sent"),
    [
        ([TextPart("ab cd"), cited(3, 5)], [text("ab "), text("cd", CHAR)]),
        ([TextPart("ab cd"), cited(0, 2, file_id="f")], [text("ab", CHAR), text(" cd")]),
        ([TextPart("ab"), cited(0, 2), cited(0, 2, document_index=1)], [text("ab", CHAR, CHAR | {"document_index": 1})]),
        ([TextPart("ab"), cited(0, 2), TextPart("cd"), cited(2, 4), TextPart("ef")], [text("ab", CHAR), text("cd", CHAR), text("ef")]),
        ([TextPart("ab"), TextPart("cd ef"), cited(2, 4)], [text("ab"), text("cd", CHAR), text(" ef")]),
        ([TextPart(" \nab"), cited(1, 2)], [text(" \nab")]),
        ([TextPart("ab \ncd"), cited(0, 2), cited(4, 6)], [text("ab \n", CHAR), text("cd", CHAR)]),
        ([TextPart(" ab"), cited(1, 3)], [text(" ab", CHAR)]),
        ([TextPart("abcd"), cited(0, 3), cited(2, 4)], [text("abc", CHAR), text("d")]),
        ([TextPart("ab"), cited(0, 9)], [text("ab")]),
        ([TextPart("ab"), cited(-1, 2)], [text("ab")]),
        ([TextPart("ab"), cited(1, 1)], [text("ab")]),
        ([TextPart("ab"), cited(None, None)], [text("ab")]),
        ([TextPart("ab"), CitationPart("u", start=0, end=2, data={"type": "url_citation"})], [text("ab")]),
        ([TextPart("ab"), CitationPart("u", start=0, end=2)], [text("ab")]),
    ],
)
def test_a_text_goes_back_with_the_sources_that_the_api_named(parts: list[Part], sent: list[JSON]) -> None:
    assert spoken(*parts) == sent


def test_a_text_of_the_servers_own_form_is_not_taken_for_a_block() -> None:
    assert spoken(OpaquePart("anthropic", {"type": "text"})) == []
