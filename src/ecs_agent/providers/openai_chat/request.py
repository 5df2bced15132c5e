"""Writing requests of the OpenAI chat protocol."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from ecs_agent.providers.openai_chat.parts import CONTENT_PARTS, SOURCE
from ecs_agent.providers.protocol import ModelRequest
from ecs_agent.providers.wire.call_ids import sent_ids
from ecs_agent.providers.wire.call_results import NO_RESULT, answered_calls, orphan_text, results_of_calls
from ecs_agent.providers.wire.request_values import call_text, data_url, plain_option
from ecs_agent.streaming.json_edge import is_list
from ecs_agent.types import (
    AudioPart,
    FilePart,
    ImagePart,
    JsonObject,
    Message,
    OpaquePart,
    TextPart,
    ToolCall,
    ToolSchema,
)

LONGEST_ID: Final = 40
"""OpenAI refuses longer ids of calls, which other servers make."""

_AS_THEY_ARE: Final = (
    "parallel_tool_calls",
    "output_format",
    "response_format",
    "temperature",
    "top_p",
    "max_tokens",
    "stop",
    "seed",
    "logit_bias",
    "metadata",
    "reasoning_effort",
    "logprobs",
    "top_logprobs",
)
_CALLED = {"output_format": "response_format"}
SHOWN_BELOW: Final = "(The result is shown below.)"
"""The text of a result that is only pictures, files or sounds."""


def encode_request(request: ModelRequest, *, include_usage: bool, limit: str = "max_tokens") -> JsonObject:
    """The JSON of a request. What is not given is not sent; `extra_body` is merged last.

    `limit` is what the server calls the most tokens it may answer with. Reasoning text is not sent back, since most servers refuse it; opaque data
    of this protocol is. A message of the assistant that then says nothing is left out.
    """
    options = request.options
    written = _messages(request.messages)
    body: JsonObject = {"model": request.model, "messages": [message for message in written if message["role"] != "assistant" or _says(message)]}
    tools, choice, extra = options.get("tools"), options.get("tool_choice"), options.get("extra_body") or {}
    has_tools = bool(tools) or "tools" in extra  # without them OpenAI refuses to hear how they are to be called
    for name in _AS_THEY_ARE:
        value = options.get(name)
        if value is not None and (has_tools or name != "parallel_tool_calls"):
            body[_CALLED.get(name, name) if name != "max_tokens" else limit] = plain_option(value)
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
    if choice is not None and (has_tools or choice not in ("auto", "none")):
        body["tool_choice"] = _choice(choice)
    if request.stream:
        body["stream"] = True
        if include_usage:
            body["stream_options"] = {"include_usage": True}
    return {**body, **extra}


def _choice(choice: str) -> Any:
    return choice if choice in ("auto", "none", "required") else {"type": "function", "function": {"name": choice}}


def _tool(tool: ToolSchema) -> JsonObject:
    return {"type": "function", "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters}}


def _messages(messages: Sequence[Message]) -> Iterator[JsonObject]:
    """The messages. To most servers, OpenAI's among them, a result is text and nothing else: what tools showed stands behind all of a turn's."""
    ids = sent_ids(messages, LONGEST_ID, any_character=True)
    results = results_of_calls(messages)
    answering = set(results.values())
    for at, message in enumerate(messages):
        if message.role != "tool":
            yield _message(message, ids[at])
            yield from _results((ids[at][place], result) for place, _, result in answered_calls(messages, at, results))
        elif at not in answering:
            yield {"role": "user", "content": orphan_text(message)}


def _results(answers: Iterable[tuple[str, Message | None]]) -> Iterator[JsonObject]:
    """The results of a message's calls, by the calls' ids. Behind them a user shows what is no text."""
    shown: list[JsonObject] = []
    for call_id, result in answers:
        content = _content(result) if result is not None else NO_RESULT
        if result is not None and is_list(content):
            media = [part for part in content if part["type"] != "text"]
            shown += [{"type": "text", "text": f"(The result of the call {call_id}:)"}, *media]
            content = result.content or SHOWN_BELOW
        yield {"role": "tool", "content": content, "tool_call_id": call_id}
    if shown:
        yield {"role": "user", "content": shown}


def _says(made: JsonObject) -> bool:
    """Whether a message says anything."""
    return any(value for name, value in made.items() if name not in ("role", "name"))


def _message(message: Message, ids: Mapping[int, str]) -> JsonObject:
    made: JsonObject = {"role": message.role, "content": _content(message)}
    if message.name:
        made["name"] = message.name
    if ids:
        made["tool_calls"] = [_call(part, ids[place]) for place, part in enumerate(message.parts) if isinstance(part, ToolCall)]
    if message.refusal and not message.content:
        made["refusal"] = message.refusal
    for part in message.parts:
        if isinstance(part, OpaquePart) and part.source == SOURCE:
            made.update({name: value for name, value in part.data.items() if name != CONTENT_PARTS})
            before = part.data.get(CONTENT_PARTS)
            if before:
                made["content"] = [*before, *([{"type": "text", "text": message.content}] if message.content else [])]
    return made


def _call(call: ToolCall, call_id: str) -> JsonObject:
    function = {"name": call.name, "arguments": call_text(call)}
    return {"id": call_id, "type": "function", "function": function, **((call.opaque or {}).get(SOURCE) or {})}


def _content(message: Message) -> Any:
    shown = [part for part in message.parts if isinstance(part, TextPart | ImagePart | AudioPart | FilePart)]
    if not shown and message.tool_calls:
        return None
    if all(isinstance(part, TextPart) for part in shown):
        return message.content
    return [_part(part) for part in shown]


def _part(part: TextPart | ImagePart | AudioPart | FilePart) -> JsonObject:
    match part:
        case TextPart(text=text):
            return {"type": "text", "text": text}
        case ImagePart(url=url, data=data, media_type=kind, detail=detail):
            image = {"url": url if data is None else data_url(kind, data)}
            return {"type": "image_url", "image_url": {**image, "detail": detail} if detail else image}
        case AudioPart(data=data, format=kind):
            return {"type": "input_audio", "input_audio": {"data": b64encode(data).decode(), "format": kind}}
        case FilePart(file_id=str(file_id)):
            return {"type": "file", "file": {"file_id": file_id}}
        case FilePart(data=data, filename=name, media_type=kind):
            return {"type": "file", "file": {"filename": name or "file", "file_data": data_url(kind, data or b"")}}
