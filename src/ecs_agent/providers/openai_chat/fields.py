"""Single fields of the OpenAI chat protocol: usage, content in parts, log probabilities."""

from __future__ import annotations

from typing import Any, Final

from ecs_agent.streaming.json_edge import is_list, is_object, whole_count
from ecs_agent.types import JsonObject, TokenLogprob, Usage


def usage_of(found: Any) -> Usage | None:
    """Usage as the provider counted it; None when it counted nothing."""
    if not is_object(found):
        return None
    usage = found
    prompt, completion = _named(usage, "prompt_tokens", "input_tokens"), _named(usage, "completion_tokens", "output_tokens")
    if prompt is None and completion is None:
        return None
    total = whole_count(usage.get("total_tokens"))
    total = total if total is not None else (prompt or 0) + (completion or 0)
    return Usage(
        prompt if prompt is not None else max(0, total - (completion or 0)),
        completion if completion is not None else max(0, total - (prompt or 0)),
        total,
        _first_count(usage, "prompt_tokens_details", "cached_tokens", "prompt_cache_hit_tokens"),
        _first_count(usage, "completion_tokens_details", "reasoning_tokens"),
        cache_write_tokens=_first_count(usage, "prompt_tokens_details", "cache_write_tokens"),
    )


def _named(usage: JsonObject, *names: str) -> int | None:
    return next((count for name in names if (count := whole_count(usage.get(name))) is not None), None)


def _first_count(usage: JsonObject, group: str, *names: str) -> int | None:
    """A count that stands in a group of its own or, at some servers, beside the others."""
    details = usage.get(group)
    places = [details, usage] if is_object(details) else [usage]
    counts = (whole_count(place.get(name)) for place in places for name in names)
    return next((count for count in counts if count is not None), None)


def texts_of(content: Any) -> tuple[str, str]:
    """Text and reasoning of a content that is a string, null, or a list of parts."""
    if isinstance(content, str):
        return content, ""
    text, thought = "", ""
    parts: list[Any] = content if is_list(content) else []
    for part in parts:
        if isinstance(part, str):
            text += part
        elif is_object(part):
            kind = str(part.get("type"))
            found = _text_in(part)
            text, thought = (text, thought + found) if kind in THOUGHTS else (text + found, thought)
    return text, thought


THOUGHTS: Final = frozenset({"thinking", "reasoning", "redacted_thinking"})
"""Types of content parts that are not shown as text."""


def _text_in(part: JsonObject) -> str:
    for name in ("text", "thinking", "reasoning", "summary", "content"):
        found = part.get(name)
        if isinstance(found, str):
            return found
        if is_list(found):
            return "".join(texts_of(found))
    return ""


def logprobs_of(found: Any) -> tuple[TokenLogprob, ...]:
    """The log probabilities of a choice's new tokens; entries that are none are left out."""
    if not is_object(found):
        return ()
    entries = [entry for name in ("content", "refusal") if is_list(listed := found.get(name)) for entry in listed]
    return tuple([made for entry in entries if (made := _logprob(entry)) is not None])


def _logprob(entry: Any) -> TokenLogprob | None:
    if not is_object(entry) or not isinstance(token := entry.get("token"), str) or not isinstance(value := entry.get("logprob"), int | float):
        return None
    top = entry.get("top_logprobs")
    likeliest = [made for other in (top if is_list(top) else ()) if (made := _logprob(other)) is not None]
    return TokenLogprob(token, float(value), _bytes(entry.get("bytes")), tuple(likeliest))


def _bytes(found: Any) -> bytes | None:
    return bytes(found) if is_list(found) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in found) else None
