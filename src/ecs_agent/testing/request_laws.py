"""What every request must be for its API to take it: the laws of four wire protocols, read off a request's JSON and off no codec.

Sources: OpenAI's references of chat completions and responses, Anthropic's of messages, Google's of generateContent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.testing.wires import WireFamily
from ecs_agent.types import JsonObject

_ANTHROPIC_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_ID: Final = 64
_LONGEST_CHAT_ID: Final = 40


def request_problems(wire: WireFamily, body: Any) -> list[str]:
    """What is wrong with a request, as sentences; empty if its API would take its conversation.

    Args:
        wire: its protocol.
        body: its JSON.
    """
    return list(_PROBLEMS[wire](body)) if is_object(body) else [f"the request is {type(body).__name__} and no object"]


def _objects(found: Any) -> list[JsonObject]:
    return [entry for entry in found if is_object(entry)] if is_list(found) else []


# Chat


def _chat(body: JsonObject) -> Iterator[str]:
    open_calls: list[str] = []
    seen: set[str] = set()
    messages = _objects(body.get("messages"))
    if not messages:
        yield "there are no messages"
    for at, message in enumerate(messages):
        role = message.get("role")
        if role == "tool":
            yield from _chat_result(message, open_calls, at)
            continue
        if open_calls:
            yield f"message {at} comes while the calls {open_calls} have no result"
        ids = [str(call.get("id")) for call in _objects(message.get("tool_calls"))]
        yield from _repeated(ids, seen, f"message {at}", _LONGEST_CHAT_ID)
        for call in _objects(message.get("tool_calls")):
            yield from _no_object(call["function"]["arguments"], f"message {at}")
        open_calls = ids
        if role not in ("system", "developer", "user", "assistant"):
            yield f"message {at} has the role {role!r}"
        if role == "assistant" and not (message.get("content") or ids or message.get("refusal")):
            yield f"message {at} of the assistant is empty"
    if open_calls:
        yield f"at the end the calls {open_calls} have no result"


def _chat_result(message: JsonObject, open_calls: list[str], at: int) -> Iterator[str]:
    call_id = str(message.get("tool_call_id"))
    if call_id not in open_calls:
        yield f"message {at} answers the call {call_id!r}, which is not open"
    else:
        open_calls.remove(call_id)
    if any(part.get("type") != "text" for part in _objects(message.get("content"))):
        yield f"message {at}, a result, has a part that is no text"


def _repeated(ids: Iterable[str], seen: set[str], where: str, longest: int = _LONGEST_ID) -> Iterator[str]:
    for call_id in ids:
        if not call_id or call_id in seen or len(call_id) > longest:
            yield f"{where} has the call id {call_id!r}, which is empty, longer than {longest} characters, or not the only one"
        seen.add(call_id)


def _no_object(arguments: Any, where: str) -> Iterator[str]:
    try:
        found = json.loads(arguments)
    except (TypeError, ValueError):
        found = None
    if not is_object(found):
        yield f"{where} has a call with the arguments {arguments!r}, which are no JSON object"


# Responses


def _responses(body: JsonObject) -> Iterator[str]:
    given = body.get("input")
    items = _objects(given)
    if isinstance(given, str):
        return
    if not items:
        yield "there is no input"
    calls: list[str] = []
    results: list[str] = []
    seen: set[str] = set()
    for at, item in enumerate(items):
        match item.get("type", "message"):
            case "function_call":
                call_id = str(item.get("call_id"))
                yield from _repeated([call_id], seen, f"item {at}")
                yield from _no_object(item.get("arguments"), f"item {at}")
                calls.append(call_id)
            case "function_call_output":
                call_id = str(item.get("call_id"))
                if call_id not in calls or call_id in results:
                    yield f"item {at} answers the call {call_id!r}, which is not open"
                results.append(call_id)
            case "message":
                yield from _response_message(item, at)
            case _:
                pass  # items of built-in tools and reasoning go back as they came
    if lost := [call for call in calls if call not in results]:
        yield f"the calls {lost} have no result"


def _response_message(item: JsonObject, at: int) -> Iterator[str]:
    role, content = item.get("role"), item.get("content")
    if role not in ("system", "developer", "user", "assistant"):
        yield f"item {at} has the role {role!r}"
    kinds = {"output_text", "refusal"} if role == "assistant" else {"input_text", "input_image", "input_file"}
    for part in _objects(content):
        if part.get("type") not in kinds:
            yield f"item {at} of the role {role!r} has a part of type {part.get('type')!r}"
    if not content:
        yield f"item {at} is an empty message"


# Anthropic


def _anthropic(body: JsonObject) -> Iterator[str]:
    messages = _objects(body.get("messages"))
    if not messages:
        yield "there are no messages"
    if not isinstance(body.get("max_tokens"), int):
        yield "max_tokens is missing"
    open_calls: list[str] = []
    seen: set[str] = set()
    before: Any = None
    for at, message in enumerate(messages):
        role, blocks = message.get("role"), _blocks(message.get("content"))
        if role not in ("user", "assistant") or role == before:
            yield f"message {at} has the role {role!r} behind {before!r}"
        before = role
        results = [str(block.get("tool_use_id")) for block in blocks if block.get("type") == "tool_result"]
        first = next((place for place, block in enumerate(blocks) if block.get("type") != "tool_result"), len(blocks))
        if sorted(results) != sorted(open_calls) or len(results) != len(blocks[:first]):
            yield f"message {at} has the results {results} (they must come first), and the calls before it are {open_calls}"
        open_calls = [str(block.get("id")) for block in blocks if block.get("type") == "tool_use"]
        yield from _repeated(open_calls, seen, f"message {at}")
        yield from (f"message {at} has the call id {each!r}" for each in open_calls if not _ANTHROPIC_ID.fullmatch(each))
        yield from _anthropic_blocks(blocks, at, is_prefill=role == "assistant" and at == len(messages) - 1)
    if open_calls:
        yield f"at the end the calls {open_calls} have no result"


def _blocks(content: Any) -> list[JsonObject]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else _objects(content)


def _anthropic_blocks(blocks: list[JsonObject], at: int, *, is_prefill: bool) -> Iterator[str]:
    if not blocks:
        yield f"message {at} is empty"
    for block in blocks:
        match block.get("type"):
            case "text" if not str(block.get("text", "")).strip():
                yield f"message {at} has an empty text"
            case "tool_use" if not is_object(block.get("input")):
                yield f"message {at} has a call whose input is no object"
            case "thinking" if not block.get("signature"):
                yield f"message {at} has a thought without a signature"
            case _:
                pass
    if is_prefill and blocks and str(blocks[-1].get("text", "x"))[-1:].isspace():
        yield f"message {at}, which is to be gone on with, ends with white space"


# Gemini


def _gemini(body: JsonObject) -> Iterator[str]:
    contents = _objects(body.get("contents"))
    if not contents:
        yield "there are no contents"
    before: Any = None
    calls: list[str] = []
    for at, content in enumerate(contents):
        role, parts = content.get("role"), _objects(content.get("parts"))
        if role not in ("user", "model") or role == before:
            yield f"content {at} has the role {role!r} behind {before!r}"
        before = role
        if not parts:
            yield f"content {at} is empty"
        answered = [str(found.get("name")) for part in parts if is_object(found := part.get("functionResponse"))]
        if answered != calls:
            yield f"content {at} answers the calls {answered}, and those before it are {calls}"
        calls = [str(found.get("name")) for part in parts if is_object(found := part.get("functionCall"))]
        for part in parts:
            yield from _gemini_part(part, at)
    if calls:
        yield f"at the end the calls {calls} have no result"


def _gemini_part(part: JsonObject, at: int) -> Iterator[str]:
    call, answer = part.get("functionCall"), part.get("functionResponse")
    if is_object(call) and not is_object(call.get("args", {})):
        yield f"content {at} has a call whose arguments are no object"
    if is_object(answer) and not is_object(answer.get("response")):
        yield f"content {at} has a result that is no object"
    if set(part) <= {"text"} and not part.get("text"):
        yield f"content {at} has an empty text"


_PROBLEMS: Final[dict[WireFamily, Callable[[JsonObject], Iterator[str]]]] = {
    "openai-chat": _chat,
    "openai-responses": _responses,
    "anthropic": _anthropic,
    "gemini": _gemini,
}
