"""Single fields of the Gemini protocol: usage, log probabilities, what stands in base64."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Any

from ecs_agent.streaming.json_edge import is_list, is_object, whole_count, without_surrogates
from ecs_agent.types import TokenLogprob, Usage


def usage_of(found: Any) -> Usage | None:
    """Usage as the provider counted it; None when it counted nothing.

    The total is the sum of prompt, results of tools that the server ran, candidates and thoughts
    (https://ai.google.dev/api/generate-content#UsageMetadata). What those tools found went into the prompt, and thoughts are output.
    """
    if not is_object(found):
        return None
    prompt, results = whole_count(found.get("promptTokenCount")), whole_count(found.get("toolUsePromptTokenCount"))
    said, thought = whole_count(found.get("candidatesTokenCount")), whole_count(found.get("thoughtsTokenCount"))
    if prompt is None and said is None and thought is None:
        return None
    total = whole_count(found.get("totalTokenCount"))
    asked = None if prompt is None else prompt + (results or 0)
    answered = None if said is None and thought is None else (said or 0) + (thought or 0)
    total = total if total is not None else (asked or 0) + (answered or 0)
    return Usage(
        asked if asked is not None else max(0, total - (answered or 0)),
        answered if answered is not None else max(0, total - (asked or 0)),
        total,
        whole_count(found.get("cachedContentTokenCount")),
        thought,
    )


def logprobs_of(found: Any) -> tuple[TokenLogprob, ...]:
    """The log probabilities of a candidate's new tokens; entries that are none are left out."""
    if not is_object(found):
        return ()
    chosen, likeliest = found.get("chosenCandidates"), found.get("topCandidates")
    tops = [_logprobs(entry.get("candidates")) if is_object(entry) else () for entry in (likeliest if is_list(likeliest) else ())]
    entries = [(at, made) for at, entry in enumerate(chosen if is_list(chosen) else ()) if (made := _logprob(entry)) is not None]
    return tuple([TokenLogprob(made.token, made.logprob, top=tops[at] if at < len(tops) else ()) for at, made in entries])


def _logprobs(found: Any) -> tuple[TokenLogprob, ...]:
    return tuple([made for entry in (found if is_list(found) else ()) if (made := _logprob(entry)) is not None])


def _logprob(entry: Any) -> TokenLogprob | None:
    if not is_object(entry) or not isinstance(token := entry.get("token"), str):
        return None
    value = entry.get("logProbability", 0.0)  # the protocol leaves out what is zero: a token that is certain
    return TokenLogprob(without_surrogates(token), float(value)) if isinstance(value, int | float) else None


def bytes_of(found: Any) -> bytes | None:
    """What a base64 text stands for, None if it is none."""
    try:
        return b64decode(found, validate=True) if isinstance(found, str) and found else None
    except (binascii.Error, ValueError):
        return None


def text_of(found: Any) -> str:
    """A text without half surrogate pairs, "" for what is none."""
    return without_surrogates(found) if isinstance(found, str) else ""
