"""The scenarios of `benchmarks/truth`: this package passes all of them, and the page says what was found."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmarks.truth import results
from benchmarks.truth.contest import OURS, PEERS, play
from benchmarks.truth.judge import (
    Case,
    Verdict,
    accounts_all_attempts,
    accounts_what_was_told,
    claims_no_usage,
    holds_the_partial,
    holds_the_whole,
    is_an_error,
    is_released,
    is_shown_once,
    is_valid,
    never_runs_half,
    problem_of,
    shows_what_it_holds,
)
from benchmarks.truth.page import PAGE, page
from benchmarks.truth.results import Results
from benchmarks.truth.scenarios import SCENARIOS
from benchmarks.truth.scene import CANCELLED, NEXT, QUESTION, WHOLE, Entry, Screen, Told, Used

from ecs_agent.testing import Received

# Played


@pytest.fixture(scope="module")
def played() -> dict[str, list[Verdict]]:
    return asyncio.run(play(OURS))


def test_this_package_passes_everything(played: dict[str, list[Verdict]]) -> None:
    assert list(played) == [scenario.name for scenario in SCENARIOS]
    failed = [f"{scenario}: {verdict.question} {verdict.says}" for scenario, found in played.items() for verdict in found if not verdict.passed]
    assert failed == []


def test_the_page_says_of_this_package_what_it_does(played: dict[str, list[Verdict]]) -> None:
    assert results.load(results.newest()).verdicts[OURS.name] == played, "play them again: python -m benchmarks.truth --save"


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.environment)
async def test_a_peer_can_be_asked_the_same(peer: Any) -> None:
    if not peer.is_installed:
        pytest.skip("the peers are not installed: make peers")
    verdicts = await play(peer, [scenario for scenario in SCENARIOS if scenario.name == "reset"])
    assert verdicts["reset"][0].passed, "all of them tell a connection that was reset"


async def test_who_cannot_start_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"'cut' was not played: .*No module named 'benchmarks\.nobody'"):
        await play(replace(OURS, module="benchmarks.nobody"))


# Judged

PARTIAL = "one two "
WHOLE_TEXT = "one two three"
ASKED = Entry("user", QUESTION)
KEPT = Entry("assistant", PARTIAL, marked=True)
FIRST = Told("StreamInterruptedError", PARTIAL, 0, [ASKED, KEPT], Used(3, estimated=True), [])
SECOND = Told(WHOLE, "Rain.", 0, None, None, None)


def case(*messages: dict[str, Any], second: Told = SECOND, **changes: Any) -> Case:
    """What a contestant tells that does everything right, but for some changes; `messages` are what its next request holds."""
    asked = {"role": "user", "content": QUESTION}
    body = {"messages": [asked, *messages, {"role": "user", "content": NEXT}]}
    return Case(PARTIAL, WHOLE_TEXT, 20, replace(FIRST, **changes), second, [{"messages": [asked]}, body], released=True)


def test_who_does_everything_right_passes() -> None:
    asked = (is_an_error, is_released, holds_the_partial, shows_what_it_holds, is_valid, never_runs_half, claims_no_usage)
    assert {question: question(case()).passed for question in asked} == dict.fromkeys(asked, True)


@pytest.mark.parametrize(
    ("question", "changes", "says"),
    [
        (is_an_error, {"ended": WHOLE}, "success"),
        (is_an_error, {"ended": CANCELLED}, "cancelled"),
        (holds_the_partial, {"history": []}, "nothing, the question neither"),
        (holds_the_partial, {"history": [ASKED]}, "the question alone"),
        (holds_the_partial, {"history": [ASKED, Entry("assistant", "")]}, "the question alone"),
        (holds_the_partial, {"history": [ASKED, replace(KEPT, marked=False)]}, "the partial, as a whole answer"),
        (holds_the_partial, {"history": [ASKED, Entry("assistant", "Cancelled by user", marked=True)]}, "something else: 'Cancelled by user'"),
        (holds_the_whole, {}, "the partial, marked"),
        (holds_the_whole, {"history": [ASKED, KEPT, Entry("assistant", WHOLE_TEXT)]}, "the partial, marked"),
        (shows_what_it_holds, {"history": [ASKED]}, "shown 2 words, held 0"),
        (shows_what_it_holds, {"shown": PARTIAL + WHOLE_TEXT}, "shown 5 words, held 2"),
        (never_runs_half, {"runs": ["Par"]}, "run, for 'Par'"),
        (is_shown_once, {"shown": PARTIAL + WHOLE_TEXT}, "its beginning twice"),
        (is_shown_once, {}, "2 of 3 words; it gives up"),
        (claims_no_usage, {"used": Used(0)}, "0, as if it were counted"),
        (claims_no_usage, {"used": Used(0, estimated=True)}, "0, marked as estimated"),
        (claims_no_usage, {"used": Used(7)}, "7, as if it were counted"),
        (accounts_all_attempts, {"used": Used(20)}, "20, as if it were counted"),
        (accounts_all_attempts, {"used": Used(20, estimated=True)}, "20, marked as estimated"),
        (accounts_all_attempts, {"used": Used(None), "ended": WHOLE}, "not known"),
        (accounts_what_was_told, {"used": Used(None)}, "not known"),
        (accounts_what_was_told, {"used": Used(155)}, "155"),
    ],
)
def test_what_is_wrong_is_told(question: Any, changes: dict[str, Any], says: str) -> None:
    verdict = question(case(**changes))
    assert (verdict.passed, verdict.says) == (False, says)


@pytest.mark.parametrize(
    ("question", "changes", "says"),
    [
        (holds_the_whole, {"history": [ASKED, Entry("assistant", WHOLE_TEXT)]}, "the whole answer, once"),
        (is_shown_once, {"shown": WHOLE_TEXT}, "the whole answer, once"),
        (is_shown_once, {"shown": WHOLE_TEXT, "taken_back": 2}, "the whole answer, once; its first beginning was taken back"),
        (claims_no_usage, {"used": Used(None)}, "not known"),
        (accounts_all_attempts, {"used": Used(30, estimated=True)}, "30, marked as estimated"),
        (accounts_what_was_told, {"used": Used(20)}, "20"),
    ],
)
def test_what_is_right_is_told(question: Any, changes: dict[str, Any], says: str) -> None:
    verdict = question(case(**changes))
    assert (verdict.passed, verdict.says) == (True, says)


@pytest.mark.parametrize(
    ("question", "changes"),
    [
        (holds_the_partial, {"history": None}),
        (holds_the_whole, {"history": None}),
        (shows_what_it_holds, {"history": None}),
        (is_valid, {"history": None}),
        (never_runs_half, {"runs": None}),
        (claims_no_usage, {"used": None}),
        (accounts_all_attempts, {"used": None}),
        (accounts_what_was_told, {"used": None}),
    ],
)
def test_what_somebody_does_not_have_is_not_judged(question: Any, changes: dict[str, Any]) -> None:
    assert question(case(**changes)).passed is None


def call(arguments: str = "{}", number: str = "c") -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [{"id": number, "function": {"name": "f", "arguments": arguments}}]}


def result(number: str = "c") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": number, "content": "done"}


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([], None),
        ([call(), result()], None),
        ([{"role": "assistant", "content": ""}], "an empty answer"),
        ([call()], "a call without a result"),
        ([call(), {"role": "user", "content": "so?"}, result()], "a call without a result"),
        ([result()], "a result without a call"),
        ([call(), result(), result()], "a result without a call"),
        ([call('{"city": "Par'), result()], "arguments that are no JSON object"),
        ([call('"Paris"'), result()], "arguments that are no JSON object"),
    ],
)
def test_the_next_request_is_judged_by_what_the_server_received(messages: list[dict[str, Any]], problem: str | None) -> None:
    assert problem_of(messages) == problem
    assert is_valid(case(*messages)) == Verdict("the next request is", problem is None, "valid" if problem is None else f"invalid: {problem}")


def test_a_next_request_that_fails_or_was_never_sent_is_none() -> None:
    failed = replace(SECOND, ended="BadRequestError")
    assert is_valid(case(second=failed)).says == "error: BadRequestError"
    assert is_valid(replace(case(second=failed), bodies=[{"messages": [{"role": "user", "content": QUESTION}]}])).says == "not sent: BadRequestError"


def test_what_is_taken_back_is_no_longer_shown() -> None:
    screen = Screen(cancel_after=2)
    assert [screen.take(text) for text in ("one", "", "two")] == [False, False, True]
    screen.take_back()
    screen.take("three")
    assert (screen.shown, screen.taken_back) == (["three"], 2)


async def test_the_server_answers_the_rest_to_who_sends_the_beginning() -> None:
    retry = next(scenario for scenario in SCENARIOS if scenario.name == "retry")
    beginning = {"role": "assistant", "content": retry.partial}
    body = {"messages": [{"role": "user", "content": QUESTION}, beginning]}
    sent = b"".join(piece for piece in retry.answers()(Received("POST", "/", {}, body)).pieces if isinstance(piece, bytes))
    assert b'"It "' not in sent
    assert b'"west."' in sent.replace(b"west. ", b"west.")


# Kept


def test_results_are_what_was_saved(tmp_path: Path) -> None:
    found = Results("2026-01-02", {OURS.name: "ecs-agent 9.9"}, {OURS.name: {"cut": [Verdict("history holds", None, "no history")]}})
    found.save(tmp_path / "found.json")
    assert results.load(tmp_path / "found.json") == found


def test_the_page_says_who_passes_what() -> None:
    verdicts = {
        OURS.name: {"cut": [Verdict("it is reported as", True, "error: X"), Verdict("history holds", True, "it")]},
        PEERS[0].name: {"cut": [Verdict("it is reported as", False, "success"), Verdict("history holds", None, "no history")]},
    }
    text = page(Results("2026-01-02", {PEERS[0].name: "p 1.0"}, verdicts))
    assert "Played on 2026-01-02" in text
    assert f"|  | {OURS.name} | {PEERS[0].name} |" in text
    assert "| [The stream is cut](#the-stream-is-cut) | 2 of 2 | 0 of 1 |" in text
    assert "| [The connection is reset](#the-connection-is-reset) | - | - |" in text
    assert "| it is reported as | ✓ error: X | ✗ success |" in text
    assert "| history holds | ✓ it | - no history |" in text
    assert f"| {PEERS[0].name} | p 1.0 |" in text


def test_the_page_is_that_of_the_newest_results() -> None:
    assert PAGE.read_text("utf-8") == page(results.load(results.newest())), "render it again: python -m benchmarks.truth --render"
