"""The official SDK's accumulator reads the same bodies of the Messages protocol, and every difference has a name and a reason.

The SDK is no dependency of this project's development; where it is not installed these tests are skipped.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import httpx2
import pytest
from tests.providers.families import ANTHROPIC
from tests.providers.messages_wire import message_body
from tests.providers.wire import ABSENT, Case, Outcome, decode, own_cases, recorded_bodies, run_case, shared_cases

from ecs_agent.providers.wire.finish_words import FINISH
from ecs_agent.types import OpaquePart, ReasoningPart

anthropic = pytest.importorskip("anthropic")

RECORDED = {f"{path.parent.name}/{path.stem}": path for path in recorded_bodies(ANTHROPIC)}
CASES = {f"cases/{case.name}": case for case in shared_cases(ANTHROPIC)} | {
    case.id: case for case in own_cases(ANTHROPIC) if case.group.startswith("plain ")
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What a client says that a body holds; calls with parsed input, `kept` what is sent back unread."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[Any, ...] = ()
    cited: tuple[str, ...] = ()
    kept: tuple[Any, ...] = ()
    finish: str | None = None
    usage: tuple[int, int] | None = None
    failed: str | None = None

    def differences(self, other: Reading) -> set[str]:
        """The fields in which two readings differ. Two failures agree, and after a failure only the text that had been delivered counts."""
        found = {field.name for field in fields(self) if getattr(self, field.name) != getattr(other, field.name)}
        if self.failed and other.failed:
            found -= {"failed"}
        return found & {"failed", "text", "reasoning"} if self.failed or other.failed else found


async def read_by_sdk(case: Case) -> Reading:
    def reply(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(case.status, headers=case.headers, content=case.body)

    transport = httpx2.AsyncClient(transport=httpx2.MockTransport(reply))
    asked: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "?"}]}
    snapshot, failed = None, None
    async with anthropic.AsyncAnthropic(api_key="none", base_url="http://oracle.invalid", max_retries=0, http_client=transport) as client:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if "json" in case.content_type:
                    return told(await client.messages.create(**asked), None)
                async with client.messages.stream(**asked) as stream:
                    try:
                        await stream.until_done()
                    finally:
                        snapshot = stream._AsyncMessageStream__final_message_snapshot
            except Exception as error:  # noqa: BLE001 - any failure of the SDK is what it says about the body
                failed = type(error).__name__
    return told(snapshot, failed)


def told(message: Any, failed: str | None) -> Reading:
    if message is None or isinstance(message, str):
        return Reading(failed=failed or "no message")
    blocks = [block.to_dict() for block in message.content]
    usage = message.usage
    prompt = usage.input_tokens + (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    finish = FINISH.get(message.stop_reason) if message.stop_reason else None
    return Reading(
        text="".join([block["text"] for block in blocks if block["type"] == "text"]),
        reasoning="".join([block["thinking"] for block in blocks if block["type"] == "thinking"]),
        calls=tuple([(block.get("id"), block["name"], block.get("input")) for block in blocks if block["type"] == "tool_use"]),
        cited=tuple([text for block in blocks for cited in block.get("citations") or () if (text := cited.get("cited_text"))]),
        kept=tuple([kept(block) for block in blocks if block["type"] not in ("text", "tool_use")]),
        finish=finish,
        usage=(prompt, usage.output_tokens),
        failed=failed,
    )


def kept(block: dict[str, Any]) -> str:
    found = {"signature": block["signature"]} if "signature" in block else block
    return json.dumps({name: value for name, value in found.items() if value is not None}, sort_keys=True)


def read_by_us(outcome: Outcome) -> Reading:
    result = outcome.result
    message, usage = result.message, result.usage
    return Reading(
        text=message.content,
        reasoning="".join([part.text for part in message.parts if isinstance(part, ReasoningPart)]),
        calls=tuple([(call.id, call.name, call.arguments) for call in message.tool_calls or ()]),
        cited=tuple([part.quote for part in message.citations if part.quote]),
        kept=tuple([kept(part.data) for part in message.parts if isinstance(part, OpaquePart)]),
        finish=result.finish_reason,
        usage=(usage.prompt_tokens, usage.completion_tokens) if usage is not None else None,
        failed=type(outcome.error).__name__ if outcome.error is not None else None,
    )


async def both(name: str) -> tuple[Reading, Reading]:
    case = CASES.get(name) or Case(name, "", (RECORDED[name].read_bytes(),), {}, headers={"content-type": "text/event-stream"}, family=ANTHROPIC)
    return await read_by_sdk(case), read_by_us(run_case(case, case.pieces))


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One way in which the two differ, and the bodies that show it."""

    name: str
    rule: str
    why: str
    fields: frozenset[str]
    bodies: tuple[str, ...]
    holds: Callable[[Reading, Reading], bool]


DISAGREEMENTS = (
    Disagreement(
        "a compaction",
        "R6",
        "The SDK ignores the summary outside of its beta. Ours is right: a block is kept with all that it holds, or it means nothing to the server.",
        frozenset({"kept"}),
        ("anthropic/anthropic.test_anthropic.test_anthropic_compaction_usage_with_cache_streaming.1",),
        lambda sdk, ours: "content" not in sdk.kept[0] and "Next step" in ours.kept[0],
    ),
    Disagreement(
        "what another server's tool was asked",
        "R6",
        "The SDK reads the input of an mcp_tool_use only in its beta. Ours is right: it is kept as it came, or the server would read of an empty one.",
        frozenset({"kept"}),
        ("anthropic/anthropic.test_anthropic.test_anthropic_mcp_servers_stream.1",),
        lambda sdk, ours: '"input": {}' in sdk.kept[1] and '"question"' in ours.kept[1],
    ),
    Disagreement(
        "a cut stream",
        "R9",
        "The SDK takes the end of the body for the end of the answer. Ours is right: without a stop reason it is an error that keeps the partial.",
        frozenset({"failed"}),
        ("cases/anthropic_cut_before_stop",),
        lambda sdk, ours: sdk.failed is None and ours.failed == "StreamInterruptedError" and sdk.text == ours.text,
    ),
)


@pytest.mark.parametrize("name", [*RECORDED, *CASES])
async def test_the_sdk_and_we_read_a_body_alike_but_for_what_is_listed(name: str) -> None:
    sdk, ours = await both(name)
    listed = [entry for entry in DISAGREEMENTS if name in entry.bodies]
    assert sdk.differences(ours) == set().union(*(entry.fields for entry in listed)), (sdk, ours)


@pytest.mark.skipif(not RECORDED, reason=ABSENT)
@pytest.mark.parametrize("entry", [pytest.param(entry, id=f"{entry.rule} {entry.name}") for entry in DISAGREEMENTS])
async def test_where_they_differ_the_rule_says_who_is_right(entry: Disagreement) -> None:
    for name in entry.bodies:
        sdk, ours = await both(name)
        assert entry.holds(sdk, ours), (entry.why, sdk, ours)


async def test_a_whole_answer_is_read_alike() -> None:
    thought = {"type": "thinking", "thinking": "t", "signature": "S"}
    body = message_body(thought, {"type": "text", "text": "Hi"}, {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}, reason="tool_use")
    case = Case("whole", "", (json.dumps(body).encode(),), {}, headers={"content-type": "application/json"}, family=ANTHROPIC)
    sdk = await read_by_sdk(case)
    assert sdk == read_by_us(decode([case.body], content_type=case.content_type, family=ANTHROPIC))
    assert sdk == Reading("Hi", "t", (("c", "f", {"a": 1}),), kept=('{"signature": "S"}',), finish="tool_calls", usage=(10, 5))


def test_the_list_names_every_body_once() -> None:
    counted = Counter(name for entry in DISAGREEMENTS for name in entry.bodies)
    assert [name for name, times in counted.items() if times > 1] == []
    if RECORDED:
        assert set(counted) <= {*RECORDED, *CASES}
