"""An oracle for the Responses protocol: the official SDK's accumulator reads the same bytes, and every difference has a name and a reason."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from tests.oracle.disagreements import Disagreement
from tests.oracle.reading import Reading
from tests.oracle.responses_reading import kept_items, read_response_by_sdk, read_response_by_us, sent_items
from tests.providers.families import RESPONSES
from tests.providers.wire import ABSENT, Case, decode, own_cases, recorded_bodies, run_case, shared_cases, written

RECORDED = {path.stem: path for path in recorded_bodies(RESPONSES)}
CASES = {f"cases/{case.name}": case for case in shared_cases(RESPONSES)}
PLAIN = [case for case in own_cases(RESPONSES) if case.group.startswith("plain ")]
WHOLE = [case for case in own_cases(RESPONSES) if case.name.startswith("an answer that is not streamed")]

DISAGREEMENTS = (
    Disagreement(
        "a stream that begins in the middle",
        "R15",
        "It was asked for with starting_after; the SDK wants a response.created first. Ours is right: what comes is an answer all the same.",
        frozenset({"failed", "text"}),
        ("openai.test_openai_responses.test_background_mode_streaming_starting_after_vcr.2", "cases/responses_resume_duplicates"),
        lambda sdk, ours: (sdk.failed, ours.failed, bool(ours.text)) == ("RuntimeError", None, True),
    ),
    Disagreement(
        "a text whose part was never added",
        "R5",
        "The SDK looks for the part in the item and fails where servers leave content_part.added out. Ours is right: the text is there.",
        frozenset({"failed", "text"}),
        ("cases/responses_basic",),
        lambda sdk, ours: (sdk.failed, ours.failed, ours.text) == ("IndexError", None, "Hello"),
    ),
    Disagreement(
        "a text whose item was never added, before a failure",
        "R9",
        "The SDK fails at the text and so does not tell it. Ours is right: what was delivered before the error counts.",
        frozenset({"text"}),
        ("cases/responses_failed_rate_limit",),
        lambda sdk, ours: (bool(sdk.failed), ours.failed, ours.text) == (True, "RateLimitError", "a"),
    ),
    Disagreement(
        "a final response whose output is empty",
        "R15",
        "The SDK takes the final response for the whole answer and loses the call. Ours is right: what was streamed was said.",
        frozenset({"calls", "finish"}),
        ("cases/responses_function_call",),
        lambda sdk, ours: (sdk.calls, sdk.finish, ours.finish) == ((), "stop", "tool_calls"),
    ),
)

OTHER_ITEMS = {
    "openrouter.test_openai_responses.test_openai_responses_raw_cot_stream_openrouter.1": "the server makes up another id for the final response",
    "openai.test_openai_responses.test_openai_responses_model_mcp_list_tools_stream_backfills_missing_results.1": (
        "two items are only done in the final response, when others were told; they come last"
    ),
}
"""Bodies in which the items that we keep differ from those of the final response in ids or order."""


async def both(body: str) -> tuple[Reading, Reading]:
    """How the SDK and we read a body."""
    if body in RECORDED:
        found = RECORDED[body].read_bytes()
        return await read_response_by_sdk(found), read_response_by_us(decode([found], family=RESPONSES))
    return await both_of(CASES[body])


async def both_of(case: Case) -> tuple[Reading, Reading]:
    return await read_response_by_sdk(case.body, case.content_type, case.status), read_response_by_us(run_case(case, case.pieces))


@pytest.mark.skipif(not RECORDED, reason=ABSENT)
@pytest.mark.parametrize("body", [pytest.param(body, id=body) for body in [*RECORDED, *CASES]])
async def test_the_sdk_and_we_read_a_body_alike_but_for_what_is_listed(body: str) -> None:
    sdk, ours = await both(body)
    listed = [entry for entry in DISAGREEMENTS if body in entry.bodies]
    assert sdk.differences(ours) == set().union(*(entry.fields for entry in listed)), (sdk, ours)


@pytest.mark.skipif(not RECORDED, reason=ABSENT)
@pytest.mark.parametrize("entry", [pytest.param(entry, id=f"{entry.rule} {entry.name}") for entry in DISAGREEMENTS])
async def test_where_they_differ_the_rule_says_who_is_right(entry: Disagreement) -> None:
    for body in entry.bodies:
        sdk, ours = await both(body)
        assert entry.holds(sdk, ours), (entry.why, sdk, ours)


@pytest.mark.skipif(not RECORDED, reason=ABSENT)
@pytest.mark.parametrize("body", [pytest.param(body, id=body) for body in RECORDED])
def test_the_items_that_are_kept_are_those_of_the_final_response(body: str) -> None:
    found = RECORDED[body].read_bytes()
    kept, sent = kept_items(decode([found], family=RESPONSES)), sent_items(found)
    assert (kept == sent) is (body not in OTHER_ITEMS)
    assert sorted(kind for kind, _ in kept) == sorted(kind for kind, _ in sent)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in PLAIN])
async def test_the_plain_cases_of_our_own_corpus_are_read_alike(case: Case) -> None:
    sdk, ours = await both_of(case)
    assert sdk == ours


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in WHOLE])
async def test_a_whole_answer_is_read_alike(case: Case) -> None:
    sdk = await read_response_by_sdk(case.body, "application/json", stream=False)
    assert sdk == read_response_by_us(run_case(case, case.pieces))
    assert sdk.text


def test_the_list_names_every_body_once_and_every_difference_by_its_own_name() -> None:
    counted = Counter(body for entry in DISAGREEMENTS for body in entry.bodies)
    assert [body for body, times in counted.items() if times > 1] == []
    assert len({entry.name for entry in DISAGREEMENTS}) == len(DISAGREEMENTS)
    if RECORDED:
        assert set(counted) <= {*RECORDED, *CASES}


async def test_the_oracle_reads_what_it_is_given() -> None:
    part: dict[str, Any] = {"type": "output_text", "text": "Hi", "annotations": []}
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}
    call = {"type": "function_call", "id": "f", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'}
    usage = {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 5,
    }
    response: dict[str, Any] = {"id": "r", "object": "response", "status": "completed", "output": [message, call], "usage": usage}
    events = [
        {"type": "response.created", "response": response | {"status": "in_progress", "output": []}},
        {"type": "response.completed", "response": response},
    ]
    body = b"".join(written({**event, "sequence_number": number}, RESPONSES) for number, event in enumerate(events))
    assert await read_response_by_sdk(body) == Reading("Hi", calls=(("c1", "f", {"a": 1}),), finish="tool_calls", usage=(3, 2, 5))
