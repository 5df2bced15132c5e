"""Byte-exact bodies of real servers and the results a correct client makes of them, in every split; and the laws that hold for every body."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.providers.wire import SHARED, check, decode, pieces_of, run_case, splits

from ecs_agent.errors import StreamInterruptedError

CASES = sorted((SHARED / "cases").glob("*.json"))
FILES = [*sorted((SHARED / "recorded" / "openai-chat").glob("*.sse")), *sorted((SHARED / "local_server").glob("*/*.sse"))]
BODIES = [path for path in FILES if b'"chat.completion' in path.read_bytes()]
ABSENT = "the folder of recorded streams is not here"


def chat_cases() -> list[Any]:
    found = [json.loads(path.read_text()) for path in CASES]
    return [pytest.param(case, id=case["name"]) for case in found if case["family"] == "openai-chat"]


@pytest.mark.skipif(not CASES, reason=ABSENT)
@pytest.mark.parametrize("case", chat_cases())
def test_a_case_gives_what_it_must_in_every_split(case: dict[str, Any]) -> None:
    pieces = pieces_of(case)
    expected = run_case(case, pieces)
    check(expected, case["expect"], case["end"])
    for split in splits(pieces):
        assert run_case(case, split).facts == expected.facts


@pytest.mark.skipif(not BODIES, reason=ABSENT)
@pytest.mark.parametrize("path", [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in BODIES])
def test_laws_hold_for_a_recorded_body(path: Path) -> None:
    body = path.read_bytes()
    whole = decode([body])
    final = [delta for delta in whole.deltas if delta.final]
    if whole.error is None:
        assert [whole.deltas[-1]] == final
    else:
        assert final == []
        assert b'"error"' in body or b"[DONE]" not in body
    assert "".join(delta.content or "" for delta in whole.deltas) == whole.result.message.content
    for call in whole.result.message.tool_calls or ():
        assert (call.arguments_error is None) or call.raw_arguments is not None
    for split in splits([body], rounds=5):
        assert decode(split).facts == whole.facts


@pytest.mark.skipif(not BODIES, reason=ABSENT)
@pytest.mark.parametrize("path", [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in BODIES])
@pytest.mark.parametrize("end", ["eof", "reset"])
def test_a_recorded_body_cut_anywhere_is_an_error_with_the_partial_or_the_whole_message(path: Path, end: str) -> None:
    body = path.read_bytes()
    expected = decode([body])
    whole = expected.result.message
    step = max(1, len(body) // 150)
    for at in range(0, len(body), step):
        cut = decode([body[:at]], end)
        if cut.error is None:
            assert cut.result.message.content == whole.content
            assert cut.result.message.tool_calls == whole.tool_calls
        else:
            assert isinstance(cut.error, StreamInterruptedError) or str(cut.error) == str(expected.error)
            assert whole.content.startswith(cut.result.message.content)
            assert cut.result.message.interrupted
