"""What is asked about a scenario, each question with its answer in words and whether that is right.

The next request is judged by what the server received, everything else by what the contestant tells.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from benchmarks.truth.scene import CANCELLED, NEXT, QUESTION, WHOLE, Entry, Told

NO_HISTORY, NO_ACCOUNTS, NO_TOOLS = "no history of its own", "no accounts of its own", "runs no tools itself"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer to a question; `passed` is None where the question does not apply."""

    question: str
    passed: bool | None
    says: str


@dataclass(frozen=True, slots=True)
class Case:
    """What happened in a scenario.

    Args:
        partial: what arrived of the answer at first.
        whole: all of it.
        told_tokens: what the server has told of its usage.
        first: what the contestant tells of the question that went wrong.
        second: what it tells of the next one.
        bodies: what the server received.
        released: the contestant has cancelled, and let go of the connection before it asked the next question.
    """

    partial: str
    whole: str
    told_tokens: int
    first: Told
    second: Told
    bodies: Sequence[dict[str, Any]]
    released: bool

    @property
    def answer(self) -> list[Entry]:
        """What its history holds of the first answer; only where it has one."""
        return [entry for entry in self.first.history or () if entry.role == "assistant"]


Question: TypeAlias = Callable[[Case], Verdict]


def is_an_error(case: Case) -> Verdict:
    """Whether the broken answer is told from a whole one."""
    ended = case.first.ended
    says = {WHOLE: "success", CANCELLED: "cancelled"}.get(ended, f"error: {ended}")
    return Verdict("it is reported as", ended not in {WHOLE, CANCELLED}, says)


def is_released(case: Case) -> Verdict:
    """Whether the server was let go of, within half a second."""
    return Verdict("the connection is", case.released, "closed" if case.released else "kept open")


def holds_the_partial(case: Case) -> Verdict:
    """Whether what had arrived is kept, and is not taken for a whole answer."""
    passed, says = _held(case)
    return Verdict("history holds", passed, says)


def _held(case: Case) -> tuple[bool | None, str]:
    if case.first.history is None:
        return None, NO_HISTORY
    if not any(entry.role == "user" and QUESTION in entry.text for entry in case.first.history):
        return False, "nothing, the question neither"
    first = next((entry for entry in case.answer if entry.text), None)
    if first is None:
        return False, "the question alone"
    if first.text != case.partial:
        return False, f"something else: {first.text[:40]!r}"
    return (True, "the partial, marked") if first.marked else (False, "the partial, as a whole answer")


def holds_the_whole(case: Case) -> Verdict:
    """Whether the answer is there once."""
    question = "history holds"
    if case.first.history is None:
        return Verdict(question, None, NO_HISTORY)
    text = "".join(entry.text for entry in case.answer)
    if text == case.whole and not any(entry.marked for entry in case.answer):
        return Verdict(question, True, "the whole answer, once")
    return Verdict(question, False, _held(case)[1])


def shows_what_it_holds(case: Case) -> Verdict:
    """Whether the user has seen what the model will be told it said."""
    question = "shown = held"
    if case.first.history is None:
        return Verdict(question, None, NO_HISTORY)
    held = "".join(entry.text for entry in case.answer)
    if held == case.first.shown:
        return Verdict(question, True, "the same")
    return Verdict(question, False, f"shown {len(case.first.shown.split())} words, held {len(held.split())}")


def is_valid(case: Case) -> Verdict:
    """Whether the next request is one that every server takes."""
    question = "the next request is"
    if case.first.history is None:
        return Verdict(question, None, NO_HISTORY)
    body = next((body for body in case.bodies if NEXT in str(body["messages"][-1].get("content"))), None)
    if body is None:
        return Verdict(question, False, f"not sent: {case.second.ended}")
    problem = problem_of(body["messages"])
    if problem is not None:
        return Verdict(question, False, f"invalid: {problem}")
    return Verdict(question, case.second.ended == WHOLE, "valid" if case.second.ended == WHOLE else f"error: {case.second.ended}")


def problem_of(messages: Sequence[dict[str, Any]]) -> str | None:
    """What is wrong with the messages of a request in the chat protocol; None if nothing is."""
    open_calls: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            if message.get("tool_call_id") not in open_calls:
                return "a result without a call"
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            return "a call without a result"
        calls = message.get("tool_calls") or []
        if message["role"] == "assistant" and not calls and not message.get("content"):
            return "an empty answer"
        for call in calls:
            open_calls.append(call["id"])
            if not _is_object(call["function"]["arguments"]):
                return "arguments that are no JSON object"
    return "a call without a result" if open_calls else None


def _is_object(text: Any) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (TypeError, ValueError):
        return False


def never_runs_half(case: Case) -> Verdict:
    """Whether the tool was left alone."""
    question = "half a call is"
    runs = case.first.runs
    if runs is None:
        return Verdict(question, None, NO_TOOLS)
    return Verdict(question, not runs, f"run, for {runs[0]!r}" if runs else "not run")


def is_shown_once(case: Case) -> Verdict:
    """Whether the user has the whole answer before their eyes in the end, once."""
    shown, question = case.first.shown, "the screen shows"
    if shown == case.whole:
        return Verdict(
            question, True, "the whole answer, once; its first beginning was taken back" if case.first.taken_back else "the whole answer, once"
        )
    if shown.endswith(case.whole):
        return Verdict(question, False, "its beginning twice")
    gave_up = "; it gives up" if len([body for body in case.bodies if QUESTION in str(body["messages"][-1].get("content"))]) == 1 else ""
    return Verdict(question, False, f"{len(shown.split())} of {len(case.whole.split())} words{gave_up}")


def claims_no_usage(case: Case) -> Verdict:
    """Whether usage that nobody has told is not known, or estimated; never a number that looks like a count."""
    question = "its usage is"
    used = case.first.used
    if used is None:
        return Verdict(question, None, NO_ACCOUNTS)
    if used.tokens is None:
        return Verdict(question, True, "not known")
    return Verdict(question, used.estimated and used.tokens > 0, _number(used.tokens, estimated=used.estimated))


def accounts_all_attempts(case: Case) -> Verdict:
    """Whether the broken attempt is in the sum, beside the number that the server has told of the other."""
    question = "its usage is"
    used = case.first.used
    if used is None:
        return Verdict(question, None, NO_ACCOUNTS)
    if used.tokens is None:
        return Verdict(question, case.first.ended != WHOLE, "not known")
    return Verdict(question, used.estimated and used.tokens > case.told_tokens, _number(used.tokens, estimated=used.estimated))


def accounts_what_was_told(case: Case) -> Verdict:
    """Whether the number that the server had told is kept."""
    question = "its usage is"
    used = case.first.used
    if used is None:
        return Verdict(question, None, NO_ACCOUNTS)
    tokens = used.tokens
    return Verdict(question, tokens == case.told_tokens, "not known" if tokens is None else f"{tokens:,}")


def _number(tokens: int, *, estimated: bool) -> str:
    if estimated:
        return f"{tokens:,}, marked as estimated"
    return f"{tokens:,}, as if it were counted"
