"""Byte-exact bodies, of real servers and of our own corpus, in every split and cut: promises P1 and P2, and the laws that hold for every body."""

from __future__ import annotations

import json
import random
import re
from functools import cache
from typing import Any

import pytest
from tests.providers.families import CHAT, FAMILIES, Family
from tests.providers.wire import (
    ABSENT,
    OWN,
    Case,
    Outcome,
    check,
    check_own,
    decode,
    offsets,
    own_cases,
    recorded_cases,
    run_case,
    shared_cases,
    splits,
    written,
    written_cases,
)

from ecs_agent.errors import MalformedResponseError, ProviderError, ServerError, StreamInterruptedError
from ecs_agent.providers.classify import classify_response
from ecs_agent.streaming import SSEDecoder

SHARED_CASES = shared_cases(*FAMILIES.values())
OWN_CASES = own_cases(*FAMILIES.values())
WRITTEN_CASES = written_cases(*FAMILIES.values())
BODIES = recorded_cases()
HTTP_ERRORS: list[dict[str, Any]] = json.loads((OWN / "http_errors.json").read_text("utf-8"))
EVENT_STREAMS: list[dict[str, Any]] = json.loads((OWN / "sse.json").read_text("utf-8"))

SURROGATE = r"\\u[dD][89a-fA-F]"

needs_shared = pytest.mark.skipif(not SHARED_CASES, reason=ABSENT)
ends = pytest.mark.parametrize("end", ["eof", "reset"])


def named(cases: list[Case]) -> list[Any]:
    return [pytest.param(case, id=case.id) for case in cases]


def streamed(cases: list[Case]) -> list[Any]:
    return named([case for case in cases if case.status == 200])


class TestWhatComesOut:
    @needs_shared
    @pytest.mark.parametrize("case", named(SHARED_CASES))
    def test_a_shared_case_gives_what_it_must(self, case: Case) -> None:
        check(run_case(case, case.pieces), case.expect, case.end)

    @pytest.mark.parametrize("case", named(OWN_CASES))
    def test_a_case_of_our_own_gives_what_it_must(self, case: Case) -> None:
        check_own(run_case(case, case.pieces), case.expect)

    @pytest.mark.parametrize("case", named(WRITTEN_CASES))
    def test_a_case_in_the_shared_form_gives_what_it_must(self, case: Case) -> None:
        check(run_case(case, case.pieces), case.expect, case.end)

    @pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in HTTP_ERRORS])
    def test_an_http_error_is_told_apart(self, case: dict[str, Any]) -> None:
        body = case["body"] if isinstance(case["body"], str) else json.dumps(case["body"], ensure_ascii=False)
        error = classify_response(case["status"], {"content-type": "application/json"} | case.get("headers", {}), body.encode(), now=case.get("now"))
        assert {name: getattr(error, name) for name in case["expect"]} == case["expect"], error
        assert error.status == case["status"]

    @pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in HTTP_ERRORS if isinstance(case["body"], dict | list)])
    def test_the_same_words_in_a_stream_are_the_same_failure_where_they_tell_more_than_the_status(self, case: dict[str, Any]) -> None:
        error = decode([b"data: " + json.dumps(case["body"]).encode() + b"\n\n"]).error
        assert error is not None
        if case["expect"]["kind"] in ("context_length", "quota", "content_filter"):
            assert (error.kind, error.retryable) == (case["expect"]["kind"], False)

    @pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in EVENT_STREAMS])
    def test_an_event_stream_is_read_by_the_standard(self, case: dict[str, Any]) -> None:
        for split in splits([bytes.fromhex(case["hex"]) if "hex" in case else case["body"].encode()], rounds=20):
            decoder = SSEDecoder()
            events = [event for piece in split for event in decoder.feed(piece)] + decoder.flush()
            assert [[event.event, event.data, event.id] for event in events] == case["events"]
            assert decoder.retry == case.get("retry")
            assert decoder.last_event_id == case.get("last_event_id", case["events"][-1][2] if case["events"] else "")


@pytest.mark.no_cover  # so many times the same lines, which TestWhatComesOut covers
class TestSplits:
    """P2: what comes out does not depend on how the bytes were delivered."""

    @needs_shared
    @pytest.mark.parametrize("case", streamed(SHARED_CASES))
    def test_a_shared_case(self, case: Case) -> None:
        expected = run_case(case, case.pieces).facts
        assert all(run_case(case, split).facts == expected for split in splits(case.pieces))

    @pytest.mark.parametrize("case", streamed(OWN_CASES + WRITTEN_CASES))
    def test_a_case_of_our_own(self, case: Case) -> None:
        expected = run_case(case, case.pieces).facts
        assert all(run_case(case, split).facts == expected for split in splits(case.pieces))

    @pytest.mark.skipif(not BODIES, reason=ABSENT)
    @pytest.mark.parametrize("case", named(BODIES))
    def test_a_recorded_body(self, case: Case) -> None:
        expected = run_case(case, case.pieces).facts
        assert all(run_case(case, split).facts == expected for split in splits(case.pieces, rounds=5))


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", range(40))
def test_events_of_all_kinds_in_one_read_are_what_they_are_one_by_one(seed: int) -> None:
    """Plain text is read many events at a time; whatever stands between must not be read as more of it, nor be passed over."""
    chance = random.Random(seed)
    texts = [written({"delta": {"content": text}}) for text in ("a", "b ", "é", "")]
    events = [
        block + b"\n\n"
        for case in OWN_CASES
        if case.family is CHAT and case.content_type == "text/event-stream"
        for block in case.body.split(b"\n\n")
        if block
    ]
    for _ in range(40):
        body = [chance.choice(texts if chance.random() < 0.7 else events) for _ in range(chance.randint(1, 9))]
        expected = decode(body).facts
        assert all(decode(split).facts == expected for split in splits([b"".join(body)], rounds=2)), body


class TestWritings:
    """The same JSON written in another way is the same answer."""

    @pytest.mark.parametrize("case", streamed([case for case in OWN_CASES + WRITTEN_CASES + SHARED_CASES if len(case.body) < 100_000]))
    def test_a_case(self, case: Case) -> None:
        expected = run_case(case, case.pieces).facts
        *blocks, last = case.body.split(b"\n\n")
        for writing in ("compact", "without a space", "turned around", "with more fields", "in many lines", "dressed up"):
            assert run_case(case, [*(rewritten(block + b"\n\n", writing) for block in blocks), last]).facts == expected, writing


def rewritten(block: bytes, writing: str) -> bytes:
    """An event of one line of JSON, perhaps behind one with its type, written differently; anything else as it is."""
    named, start, rest = block.partition(b"data: ")
    try:
        found = json.loads(rest)
        text = json.dumps(found, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return block
    if not start or not re.fullmatch(rb"(event: [^\r\n]*\n)?", named) or not isinstance(found, dict):
        return block
    head = named.decode()
    match writing:
        case "compact":
            return f"{head}data: {text if re.search(SURROGATE, text) else json.dumps(found, ensure_ascii=False)}\n\n".encode()
        case "without a space":
            return f"{head.replace(': ', ':')}data:{text}\n\n".encode()
        case "turned around":
            return f"{head}data: {json.dumps(turned(found))}\n\n".encode()
        case "with more fields":
            return f"{head}data: {json.dumps({'zz': [{'error': 'no'}], **found, 'zy': {'choices': 1}})}\n\n".encode()
        case "in many lines":
            return (head + "".join(f"data: {line}\r\n" for line in json.dumps(found, indent=1).split("\n"))).encode() + b"\r\n"
        case _:
            kind = head or "event: message\n"
            return f": c\n{kind}id: 7\nretry: 9\ndata: {text} \n\n".encode()


def turned(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: turned(value[name]) for name in reversed(value)}
    return [turned(item) for item in value] if isinstance(value, list) else value


@pytest.mark.no_cover
class TestCuts:
    """P1: a stream cut at any byte is a typed error with the partial, or the whole message."""

    @needs_shared
    @ends
    @pytest.mark.parametrize("case", streamed(SHARED_CASES))
    def test_a_shared_case(self, case: Case, end: str) -> None:
        cut_everywhere(case, end, most=3000, late="text_any" in case.expect)

    @ends
    @pytest.mark.parametrize("case", streamed(OWN_CASES + WRITTEN_CASES))
    def test_a_case_of_our_own(self, case: Case, end: str) -> None:
        cut_everywhere(case, end, most=3000, late=case.expect.get("late", False))

    @pytest.mark.skipif(not BODIES, reason=ABSENT)
    @ends
    @pytest.mark.parametrize("case", named(BODIES))
    def test_a_recorded_body(self, case: Case, end: str) -> None:
        cut_everywhere(case, end, most=max(30, 200_000 // len(case.body)), late=False)


def cut_everywhere(case: Case, end: str, most: int, *, late: bool) -> None:
    """Cut a body at every offset, or at so many, and hold each outcome against that of the whole body."""
    whole = run_case(case, [case.body], "eof")
    ended = False
    for at in offsets(case.body, most):
        cut = run_case(case, [case.body[:at]], end)
        if cut.error is None:
            assert terminal(case.body[:at], case.content_type, case.family), at
            ended = True
            is_the_whole_message(cut, whole, late=late)
        else:
            assert not ended or whole.error is not None, (at, cut.error)
            is_an_error_with_the_partial(cut, whole)


def is_the_whole_message(cut: Outcome, whole: Outcome, *, late: bool) -> None:
    message, expected = cut.result.message, whole.result.message
    assert not message.interrupted
    assert len([delta for delta in cut.deltas if delta.final]) == 1
    if late:
        assert expected.content.startswith(message.content)
    elif whole.error is None:
        assert (message.content, message.reasoning, message.refusal) == (expected.content, expected.reasoning, expected.refusal)
        assert message.tool_calls == expected.tool_calls
        assert (cut.result.finish_reason, cut.result.raw_finish_reason) == (whole.result.finish_reason, whole.result.raw_finish_reason)


def is_an_error_with_the_partial(cut: Outcome, whole: Outcome) -> None:
    partial, expected = cut.result.message, whole.result.message
    allowed: tuple[type[ProviderError], ...] = (StreamInterruptedError, MalformedResponseError)
    if whole.error is not None:
        allowed += (type(whole.error), ServerError)  # half of an error's words may tell its class no more
    assert isinstance(cut.error, allowed), cut.error
    assert partial.interrupted
    for channel in ("content", "reasoning", "refusal"):
        assert getattr(expected, channel).startswith(getattr(partial, channel))
    for call in partial.tool_calls or ():
        assert (call.raw_arguments, call.arguments_error) == (None, None)  # a call that was cut off is not a call


@cache
def terminal(body: bytes, content_type: str, family: Family) -> bool:
    """Whether a body says that the answer is over, by a reading that shares nothing with the decoder but the rules."""
    if "json" in content_type or body.lstrip().startswith((b"{", b"[")):
        return True  # a whole body speaks for itself: cut, it is no JSON
    lines = body.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n\n")
    return any(family.says_the_end(field_of(block, "event"), field_of(block, "data")) for block in lines)


def field_of(block: str, name: str) -> str:
    """A field of an event, all its lines."""
    start = f"{name}:"
    return "\n".join(line[len(start) :].removeprefix(" ") for line in block.split("\n") if line.startswith(start))


@pytest.mark.skipif(not BODIES, reason=ABSENT)
@pytest.mark.parametrize("case", named(BODIES))
def test_laws_hold_for_a_recorded_body(case: Case) -> None:
    body = case.body
    whole = run_case(case, [body])
    final = [delta for delta in whole.deltas if delta.final]
    if whole.error is None:
        assert [whole.deltas[-1]] == final
    else:
        assert final == []
        assert b'"error"' in body or b"[DONE]" not in body
    assert "".join(delta.content or "" for delta in whole.deltas) == whole.result.message.content
    for call in whole.result.message.tool_calls or ():
        assert (call.arguments_error is None) or call.raw_arguments is not None
