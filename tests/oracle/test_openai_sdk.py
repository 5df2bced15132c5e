"""An oracle that nobody here wrote: the official SDK's accumulator reads the same bytes, and every difference has a name and a reason."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.oracle.disagreements import DISAGREEMENTS, Disagreement
from tests.oracle.reading import Reading, read_by_sdk, read_by_us
from tests.providers.wire import ABSENT, SHARED, Case, decode, own_cases, recorded_bodies, run_case, shared_cases

RECORDED = {f"{path.parent.name}/{path.stem}": path for path in recorded_bodies()}
CASES = {f"cases/{case.name}": case for case in shared_cases()}
WHOLE = sorted(path for path in (SHARED / "local_server").glob("*/*.json") if b'"chat.completion"' in path.read_bytes())
PLAIN = [case for case in own_cases() if case.group.startswith("plain ")]


async def both(body: str) -> tuple[Reading, Reading]:
    """How the SDK and we read a body."""
    if body in RECORDED:
        found = RECORDED[body].read_bytes()
        return await read_by_sdk(found), read_by_us(decode([found]))
    return await both_of(CASES[body])


async def both_of(case: Case) -> tuple[Reading, Reading]:
    return await read_by_sdk(b"".join(case.pieces), case.content_type, case.status), read_by_us(run_case(case, case.pieces))


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


@pytest.mark.skipif(not WHOLE, reason=ABSENT)
@pytest.mark.parametrize("path", [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in WHOLE])
async def test_a_whole_answer_is_read_alike(path: Path) -> None:
    body = path.read_bytes()
    sdk = await read_by_sdk(body, "application/json", stream=False)
    assert sdk == read_by_us(decode([body], content_type="application/json"))
    assert sdk.text


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in PLAIN])
async def test_the_plain_cases_of_our_own_corpus_are_read_alike(case: Case) -> None:
    sdk, ours = await both_of(case)
    assert sdk == ours


def test_the_list_names_every_body_once_and_every_difference_by_its_own_name() -> None:
    counted = Counter(body for entry in DISAGREEMENTS for body in entry.bodies)
    assert [body for body, times in counted.items() if times > 1] == []
    assert len({entry.name for entry in DISAGREEMENTS}) == len(DISAGREEMENTS)
    if RECORDED:
        assert set(counted) <= {*RECORDED, *CASES}


async def test_the_oracle_reads_what_it_is_given() -> None:
    chunk: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas = [{"content": "Hi"}, {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]}]
    events = [chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    events += [chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}, chunk | {"choices": [], "usage": usage}]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
    assert await read_by_sdk(body) == Reading("Hi", calls=(("c1", "f", {"a": 1}),), finish="tool_calls", usage=(3, 2, 5))
