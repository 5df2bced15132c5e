"""Fault plans as data, and the bytes they make of a script."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from ecs_agent.errors import ErrorKind, RateLimitError, StreamInterruptedError
from ecs_agent.providers.script import Answer, Step
from ecs_agent.testing import FaultPlan, expected_outcome, random_script, scripted_reply
from ecs_agent.types import CitationPart, CompletionResult, ImagePart, Message, OpaquePart, ReasoningPart, RefusalPart, ToolCall, Usage

CALLS: Answer = ["Hi ", ToolCall("c1", "look", {"a": "é"}), ToolCall("c2", "look", {}), Usage(1, 2, 3)]


def pieces(answer: Answer, **faults: Any) -> list[bytes | float]:
    return list(scripted_reply(answer, FaultPlan(**faults)).pieces)


def body(answer: Answer, **faults: Any) -> str:
    return b"".join(piece for piece in pieces(answer, **faults) if isinstance(piece, bytes)).decode()


# As data


@pytest.mark.parametrize("seed", range(200))
def test_the_repr_of_a_plan_makes_it_again(seed: int) -> None:
    plan = FaultPlan.random(seed)
    assert eval(repr(plan)) == plan


def test_the_repr_holds_only_what_is_wrong() -> None:
    assert repr(FaultPlan()) == "FaultPlan()"
    assert repr(FaultPlan(fail_after=2, fail_with=ErrorKind.QUOTA)) == "FaultPlan(fail_after=2, fail_with=ErrorKind.QUOTA)"


@pytest.mark.parametrize("seed", range(50))
def test_the_same_seed_is_the_same_bytes(seed: int) -> None:
    assert scripted_reply(random_script(seed), FaultPlan.random(seed)) == scripted_reply(random_script(seed), FaultPlan.random(seed))


def test_seeds_draw_every_fault() -> None:
    drawn = [FaultPlan.random(seed) for seed in range(1000)]
    for field in fields(FaultPlan):
        assert len({getattr(plan, field.name) for plan in drawn}) > 1, field.name
    assert {plan.fail_with for plan in drawn} == {plan.refuse for plan in drawn} - {None} == set(ErrorKind)


@pytest.mark.parametrize("wrong", [{"cut_after": -1}, {"cut_at_byte": -1}, {"fail_after": -1}, {"pause": -0.1}, {"by": "line"}, {"by": 0}])
def test_a_plan_that_cannot_be_carried_out_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FaultPlan(**wrong)


# As bytes


def test_a_healthy_server_says_what_is_scripted_and_then_the_usage() -> None:
    lines = [line for line in body(["One two", Usage(1, 2, 3, 4, 5)]).split("\n") if line]
    assert [line.partition('"choices": ')[2].partition(', "finish_reason')[0] for line in lines[:3]] == [
        '[{"index": 0, "delta": {"role": "assistant", "content": ""}',
        '[{"index": 0, "delta": {"content": "One "}',
        '[{"index": 0, "delta": {"content": "two"}',
    ]
    assert '"finish_reason": "stop"' in lines[3]
    assert '"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, ' in lines[4]
    assert '"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 5}' in lines[4]
    assert lines[5:] == ["data: [DONE]"]


def test_tokens_written_to_a_cache_are_told_beside_those_read_from_one() -> None:
    assert '"prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1}' in body([Usage(9, 2, 11, 4, cache_write_tokens=1)])
    assert '"prompt_tokens_details": {"cache_write_tokens": 1}' in body([Usage(9, 2, 11, cache_write_tokens=1)])


def test_every_kind_of_part_has_its_name_in_the_protocol() -> None:
    opaque = OpaquePart("openai-chat", {"reasoning_details": [{"type": "x"}]})
    said = body(
        [ReasoningPart("Hm", {"openai-chat": {"sig": "s"}}), RefusalPart("No"), opaque, CitationPart("https://a.example"), Usage(1, 2, 3), "ok"]
    )
    for words in (
        '"reasoning_content": "Hm", "sig": "s"',
        '"refusal": "No"',
        '"reasoning_details": [{"type": "x"}]',
        '"url_citation": {"url": "https:',
    ):
        assert words in said
    assert said.index('"total_tokens": 3') < said.index('"content": "ok"'), "a usage in the middle stands there"
    with pytest.raises(TypeError, match="no words for a ImagePart"):
        body([ImagePart(url="https://a.example")])


@pytest.mark.parametrize(
    ("faults", "there", "missing"),
    [
        ({}, '"index": 1, "type": "function", "id": "c2"', "keep-alive"),
        ({"call_index": "same"}, '"index": 0, "type": "function", "id": "c2"', '"index": 1'),
        ({"call_index": "missing"}, '{"function": {"arguments": "", "name": "look"}, "type": "function", "id": "c2"}', '"index": 1'),
        ({"call_ids": "missing"}, '"index": 1', '"id": "c2"'),
        ({"call_ids": "empty"}, '"id": ""', '"id": "c2"'),
        ({"call_ids": "missing", "call_index": "same"}, '{"arguments": "{\\"a\\": \\"é\\"}", "name": "look"}', '"id": "c1"'),
        ({"usage": "with_finish"}, '"finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 1', '"choices": []'),
        ({"usage": "every_chunk"}, '"completion_tokens": 1, "total_tokens": 2', "keep-alive"),
        ({"usage": "missing"}, "[DONE]", "usage"),
        ({"finish": False}, "[DONE]", '"finish_reason": "'),
        ({"done": False}, '"finish_reason": "tool_calls"', "[DONE]"),
        ({"comments": "between"}, ": keep-alive\n\ndata: ", "\r"),
        ({"comments": "inside"}, ": keep-alive\ndata: ", ": keep-alive\n\n"),
        ({"line_end": "\r\n"}, "\r\n\r\n", "\n\n"),
        ({"fail_after": 1}, '"code": "server_error"', "[DONE]"),
        ({"fail_after": 99, "fail_with": ErrorKind.MALFORMED}, "this is not JSON", '"finish_reason": "'),
        ({"cut_after": 1}, '"content": "Hi "', "tool_calls"),
        ({"cut_after": 99}, '"id": "c2"', '"finish_reason": "'),
    ],
)
def test_a_fault_is_seen_in_the_bytes(faults: dict[str, Any], there: str, missing: str) -> None:
    said = body(CALLS, **faults)
    assert there in said
    assert missing not in said


def test_ids_stay_where_nobody_could_tell_two_calls_apart_without_them() -> None:
    broken: list[Step] = ["Hi ", ToolCall("c1", "look", raw_arguments="{"), ToolCall("c2", "look")]
    assert '"id": "c2"' in body(broken, call_ids="missing", call_index="same")


@pytest.mark.parametrize("split", ["events", "one", "bytes", "characters", "random"])
def test_a_split_changes_no_bytes(split: Any) -> None:
    assert body(CALLS, split=split, seed=3) == body(CALLS)


def test_splits_cut_where_they_say() -> None:
    assert len(pieces(CALLS, split="one")) == 1
    assert {len(piece) for piece in pieces(CALLS, split="bytes") if isinstance(piece, bytes)} == {1}
    first = pieces(["é"], split="characters")[0]
    assert isinstance(first, bytes)
    assert first.endswith("é".encode()[:1])
    assert 1 < len(pieces(CALLS, split="random", seed=1)) < 20


def test_pauses_stand_where_they_were_scripted_and_after_each_event() -> None:
    assert [piece for piece in pieces(["a", 0.5, "b"]) if isinstance(piece, float)] == [0.5]
    assert [type(piece) for piece in pieces(["a"], pause=0.1)] == [bytes, float] * 4


def test_a_cut_keeps_so_many_bytes() -> None:
    assert body(CALLS, cut_at_byte=200) == body(CALLS)[:200]
    assert body(CALLS, cut_at_byte=10**6) == body(CALLS)


@pytest.mark.parametrize(
    ("answer", "status", "end", "words"),
    [
        (RateLimitError("slow down", retry_after=2.5, request_id="r1"), 429, "eof", "rate_limit_exceeded"),
        (RateLimitError("slow down", status=503), 503, "eof", "slow down"),
        (StreamInterruptedError("lost"), 200, "reset", ""),
        (ConnectionResetError("gone"), 200, "hangup", ""),
        ([StreamInterruptedError("lost"), "never said"], 200, "reset", ""),
    ],
)
def test_an_error_that_comes_first_is_a_refusal(answer: Answer, status: int, end: str, words: str) -> None:
    reply = scripted_reply(answer)
    assert (reply.status, reply.end) == (status, end)
    assert words in b"".join(piece for piece in reply.pieces if isinstance(piece, bytes)).decode()


def test_a_refusal_tells_what_the_error_knows() -> None:
    headers = scripted_reply(RateLimitError("slow down", retry_after=2.5, request_id="r1")).headers
    assert (headers["retry-after"], headers["x-request-id"]) == ("2.5", "r1")


def test_an_error_in_the_middle_is_an_error_object_or_a_broken_connection() -> None:
    said = body(["a", RateLimitError("slow down"), "never said"])
    assert said.rindex("data: ") < said.index("rate_limit_exceeded")
    assert scripted_reply(["a", StreamInterruptedError("lost")]).end == "reset"
    assert scripted_reply(["a", ValueError("a bug")]).end == "reset"


def test_a_whole_answer_is_one_object_after_its_pauses() -> None:
    call = ToolCall("c1", "look", raw_arguments="{", opaque={"openai-chat": {"sig": "s"}})
    answer: list[Step] = [ReasoningPart("Hm"), 0.5, "Hi", RefusalPart("No"), call, OpaquePart("openai-chat", {"o": 1}), Usage(1, 2, 3)]
    pause, said = scripted_reply(answer, stream=False).pieces
    assert pause == 0.5
    assert isinstance(said, bytes)
    for words in (
        b'"content": "Hi"',
        b'"reasoning_content": "Hm"',
        b'"refusal": "No"',
        b'"arguments": "{"',
        b'"sig": "s"',
        b'"o": 1',
        b'"total_tokens": 3',
    ):
        assert words in said
    assert scripted_reply(["a", RateLimitError("slow")], stream=False).status == 429


# As an expectation


def expected(answer: Answer, **faults: Any) -> list[tuple[ErrorKind | None, str]]:
    return [(ending.kind, ending.text) for ending in expected_outcome(answer, FaultPlan(**faults)).endings]


def test_what_must_be_reported_follows_from_the_plan() -> None:
    said = "One two three."
    assert expected(said) == [(None, said)]
    assert expected(said, cut_after=2) == [(ErrorKind.STREAM_INTERRUPTED, "One two ")]
    assert expected(said, cut_after=2, end="stall") == [(ErrorKind.TIMEOUT, "One two ")]
    assert expected(said, fail_after=1, fail_with=ErrorKind.AUTH) == [(ErrorKind.AUTH, "One ")]
    assert expected(said, finish=False) == [(None, said)]
    assert expected(said, finish=False, done=False) == [(ErrorKind.STREAM_INTERRUPTED, said)]
    assert expected(said, finish=False, done=False, end="stall") == [(ErrorKind.TIMEOUT, said)]
    assert expected(said, end="reset") == [(None, said)]
    assert expected(said, refuse=ErrorKind.QUOTA) == [(ErrorKind.QUOTA, "")]
    assert expected(RateLimitError("slow")) == [(ErrorKind.RATE_LIMIT, "")]


def test_an_event_that_lacks_only_its_blank_line_may_count_or_not() -> None:
    events = [piece for piece in pieces("One two three.") if isinstance(piece, bytes)]
    end = len(b"".join(events[:3]))
    interrupted = ErrorKind.STREAM_INTERRUPTED
    assert expected("One two three.", cut_at_byte=end) == [(interrupted, "One two ")]
    assert expected("One two three.", cut_at_byte=end - 1) == [(interrupted, "One "), (interrupted, "One two ")]
    assert expected("One two three.", cut_at_byte=end - 3) == [(interrupted, "One ")]


def test_a_reset_of_a_real_connection_may_cost_what_was_not_read_yet() -> None:
    endings = expected_outcome("One two", FaultPlan(cut_after=2, end="reset"), lossy=True).endings
    assert {(ending.kind, ending.text) for ending in endings} == {
        (ErrorKind.CONNECTION, ""),
        *((ErrorKind.STREAM_INTERRUPTED, text) for text in ("", "One ", "One two")),
    }


def test_a_wrong_report_is_told_apart() -> None:
    outcome = expected_outcome(CALLS, FaultPlan())
    calls = [ToolCall("c1", "look", {"a": "é"}), ToolCall("c2", "look", {})]
    right = CompletionResult(Message("assistant", "Hi ", calls), Usage(1, 2, 3), "tool_calls")
    assert outcome.differs(right, None) is None
    wrong = {
        "expected the text": CompletionResult(Message("assistant", "Hi", calls), Usage(1, 2, 3), "tool_calls"),
        "expected the finish": CompletionResult(Message("assistant", "Hi ", calls), Usage(1, 2, 3), "stop"),
        "expected Usage": CompletionResult(Message("assistant", "Hi ", calls), Usage(1, 2, 4), "tool_calls"),
        "expected the tool calls": CompletionResult(Message("assistant", "Hi ", calls[:1]), Usage(1, 2, 3), "tool_calls"),
        "with the ids": CompletionResult(Message("assistant", "Hi ", [calls[0], ToolCall("c9", "look", {})]), Usage(1, 2, 3), "tool_calls"),
        "must be distinct": CompletionResult(Message("assistant", "Hi ", [calls[0], ToolCall("c1", "look", {})]), Usage(1, 2, 3), "tool_calls"),
    }
    for words, result in wrong.items():
        assert words in (outcome.differs(result, None) or "")
    assert "no partial result" in (expected_outcome(CALLS, FaultPlan(cut_after=1)).differs(None, StreamInterruptedError("lost")) or "")
    half = CompletionResult(Message("assistant", "Hi ", calls[:1], interrupted=True))
    assert "not arrived whole" in (expected_outcome(CALLS, FaultPlan(cut_after=1)).differs(half, StreamInterruptedError("lost")) or "")


@pytest.mark.parametrize(
    "wrong",
    [{"end": "close"}, {"split": "byte"}, {"usage": "nowhere"}, {"call_ids": "zzz"}, {"call_index": 1}, {"comments": "x"}, {"line_end": "\r"}],
)
def test_a_word_that_no_plan_knows_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*; it must be one of"):
        FaultPlan(**wrong)


@pytest.mark.parametrize("field", ["refuse", "fail_with"])
def test_a_failure_is_named_by_its_kind(field: str) -> None:
    wrong: dict[str, Any] = {field: "nonsense"}
    with pytest.raises(TypeError, match=f"{field} is 'nonsense'; give a member of ErrorKind"):
        FaultPlan(**wrong)
