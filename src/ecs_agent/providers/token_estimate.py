"""How many tokens a request has, about: for limits and for what a provider did not count. Pure, without a tokenizer, the same for all models.

A text is counted by its characters, each kind at a price of its own, as tokenizers treat them differently:

    letters and spaces of ASCII        1/4 token   English prose is then right within a fifth
    digits and signs of ASCII          1/2         so code and JSON come out at about 3 characters a token
    further spaces of a run            1/16        indentation is one token
    other letters of Latin             1/2         each word with an accent is cut into more tokens
    Chinese, Japanese, Korean          1
    other scripts                      1/2
    emoji and what lies beyond         2

A picture has a flat price, as what it costs depends on a size that only its provider computes. Every message costs 4 tokens beside what it holds,
every tool and every call 8, a request 3.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

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
    ToolSchema,
    Usage,
)

CHARACTERS_A_TOKEN: Final = 4
"""A convention: right within a third for English, too low for most other languages. For a stream, of which only the length is looked at."""

IMAGE_TOKENS: Final = 1000
LOW_IMAGE_TOKENS: Final = 85
FILE_TOKENS: Final = 2000
AUDIO_BYTES_A_TOKEN: Final = 3200

_A_MESSAGE: Final = 4
_A_REQUEST: Final = 3
_A_CALL: Final = 8
_WHOLE: Final = 16
"""Prices are counted in sixteenths."""

_SPACES: Final = re.compile(r"(?<=\s)\s+")
_WORDS: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ \n"
_DENSE: Final = re.compile("[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]+")
_BEYOND: Final = re.compile("[\u2600-\u27bf\U00010000-\U0001ffff\U00040000-\U0010ffff]+")


def tokens_in_characters(characters: int) -> int:
    """About how many tokens so many characters are: a quarter, rounded up. Count a stream's characters first, or each piece is rounded up."""
    return -(-characters // CHARACTERS_A_TOKEN)


def estimate_text(text: str) -> int:
    """About how many tokens a text has."""
    return -(-_price(text) // _WHOLE)


def estimate_tokens(messages: Sequence[Message], *, tools: Sequence[ToolSchema] | None = None, system_prompt: str = "") -> int:
    """About how many tokens a request has.

    Args:
        messages: the conversation.
        tools: what the model may call.
        system_prompt: one that is not among the messages.
    """
    prompt = _A_MESSAGE + estimate_text(system_prompt) if system_prompt else 0
    offered = sum(_A_CALL + estimate_text(f"{tool.name} {tool.description}") + _json(tool.parameters) for tool in tools or ())
    return _A_REQUEST + prompt + offered + sum(estimate_message(message) for message in messages)


def estimate_message(message: Message) -> int:
    """About how many tokens a message has."""
    return _A_MESSAGE + sum(_part(part) for part in message.parts) + (estimate_text(message.name) if message.name else 0)


def estimate_usage(messages: Sequence[Message], answer: Message, *, tools: Sequence[ToolSchema] | None = None, system_prompt: str = "") -> Usage:
    """What a request and its answer cost, about; it is marked as estimated."""
    prompt = estimate_tokens(messages, tools=tools, system_prompt=system_prompt)
    completion = sum(_part(part) for part in answer.parts)
    return Usage(prompt, completion, prompt + completion, estimated=True)


def _part(part: Part) -> int:
    match part:
        case TextPart(text=text) | ReasoningPart(text=text) | RefusalPart(text=text):
            return estimate_text(text)
        case ToolCall():
            arguments = estimate_text(part.raw_arguments) if part.raw_arguments is not None else _json(part.arguments)
            return _A_CALL + estimate_text(part.name) + arguments
        case ImagePart(detail="low"):
            return LOW_IMAGE_TOKENS
        case ImagePart():
            return IMAGE_TOKENS
        case AudioPart(data=data):
            return -(-len(data) // AUDIO_BYTES_A_TOKEN)
        case FilePart(data=bytes() as data, media_type=kind) if kind.startswith("text/"):
            return estimate_text(data.decode("utf-8", "replace"))
        case FilePart():
            return FILE_TOKENS
        case OpaquePart(data=held):
            return _json(held)
        case CitationPart():  # is not sent back
            return 0


def _json(data: JsonObject) -> int:
    try:
        return estimate_text(msgspec.json.encode(data).decode())
    except (TypeError, ValueError, RecursionError):  # it is no JSON; the request will fail, an estimate need not
        return estimate_text(repr(data))


def _price(text: str) -> int:
    if len(text) > 1:
        spaceless = _SPACES.sub("", text)
        spaces, text = len(text) - len(spaceless), spaceless
    else:
        spaces = 0
    if text.isascii():
        signs = len(text.encode().translate(None, _WORDS))
        return spaces + 4 * len(text) + 4 * signs
    dense = sum(map(len, _DENSE.findall(text)))
    beyond = sum(map(len, _BEYOND.findall(text)))
    plain = text.encode("ascii", "ignore")
    signs = len(plain.translate(None, _WORDS))
    others = len(text) - dense - beyond - len(plain)
    return spaces + 4 * len(plain) + 4 * signs + 8 * others + 16 * dense + 32 * beyond
