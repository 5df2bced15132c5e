"""What must be true of a crew that was killed, however often and whenever.

Law of transcripts: without the traces of crashes (`told`: answers that were kept as interrupted, and the input that had them go on) each transcript
is, message by message, that of a run that nobody killed; only the result of a call may be instead that its effect is not known. What is kept of an
interrupted answer is the beginning of the whole one. Of those that chat it is not fixed which letter comes first, so theirs are held against
the model: each answer is what it says to the conversation before, and each letter that was sent has come once.

Law of effects: what must not be done twice is done at most once for each call, exactly once if its result says so, and never without a call.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

from tests.crash.crew import INPUT, ONCE, Member, answer, crew_of, result_of, told

from ecs_agent.providers.script import Script
from ecs_agent.systems import history_problems
from ecs_agent.systems.tool_execution import LOST
from ecs_agent.types import Message, ToolCall

Transcripts = Mapping[int, Sequence[Message]]

_LETTER = re.compile(r"\[from agent (\d+)\] (letter \d+ of \d+)")


def transcript_problems(seed: int, transcripts: Transcripts, expected: Transcripts) -> list[str]:
    """Where finished transcripts break the law of transcripts.

    Args:
        seed: of the crew.
        transcripts: by agent, of the crew that was killed.
        expected: those of a run that nobody killed.
    """
    problems: list[str] = []
    for member in crew_of(seed):
        messages = transcripts.get(member.number, ())
        found = [*history_problems(messages), *_kept_problems(seed, member, messages)]
        if member.peer is None:
            found += _unequal(told(messages), told(expected[member.number]))
        else:
            found += _underived(seed, member, told(messages))
            found += _letter_problems(member.peer, transcripts.get(member.peer, ()), messages)
        problems += [f"agent {member.number}: {problem}" for problem in found]
    return problems


def _kept_problems(seed: int, member: Member, messages: Sequence[Message]) -> list[str]:
    return [
        f"message {at} is kept as interrupted, and does not begin the whole answer: {message.content!r}"
        for at, message in enumerate(messages)
        if message.interrupted and not _whole(seed, member, messages[:at]).text.startswith(message.content)
    ]


def _whole(seed: int, member: Member, before: Sequence[Message]) -> Script:
    return answer(seed, member, before)


def _unequal(messages: Sequence[Message], expected: Sequence[Message]) -> list[str]:
    for at, (one, other) in enumerate(zip_longest(messages, expected)):
        if one is None or other is None:
            return [f"it has {len(messages)} messages, without the crash {len(expected)}"]
        if one != other and not (is_lost(one) and one.tool_call_id == other.tool_call_id):
            return [f"message {at} is {one}, without the crash {other}"]
    return []


def is_lost(message: Message) -> bool:
    """Whether it is the result of a call of which nobody knows what it did."""
    return message.role == "tool" and message.is_error and message.content == LOST


def _underived(seed: int, member: Member, messages: Sequence[Message]) -> list[str]:
    problems: list[str] = []
    calls: dict[str | None, ToolCall] = {}
    for at, message in enumerate(messages):
        if message.role == "assistant":
            whole = answer(seed, member, messages[:at])
            calls |= {call.id: call for call in message.tool_calls or ()}
            if message.content != whole.text or list(message.tool_calls or ()) != list(whole.tool_calls):
                problems.append(f"message {at} is {message}, and the model says {whole}")
        elif message.role == "tool" and not is_lost(message) and message.content != result_of(calls[message.tool_call_id]):
            problems.append(f"message {at} is {message}, and the tool says {result_of(calls[message.tool_call_id])!r}")
        elif message.role == "user" and not (INPUT.fullmatch(message.content) or _LETTER.match(message.content)):
            problems.append(f"message {at} is {message}, which nobody sent")
    return problems


def _letter_problems(sender: int, sent: Sequence[Message], received: Sequence[Message]) -> list[str]:
    """Whether each letter of a sender, which has the first of these conversations, stands once in the second, in order."""
    results = {message.tool_call_id: message for message in sent if message.role == "tool"}
    written = [call for message in told(sent) for call in message.tool_calls or ()]
    unsure = {call.arguments["text"] for call in written if is_lost(results[call.id])}
    texts = [match[2] for message in received if message.role == "user" and (match := _LETTER.match(message.content)) and match[1] == str(sender)]
    come = [call.arguments["text"] for call in written if call.arguments["text"] not in unsure or call.arguments["text"] in texts]
    return [] if texts == come else [f"agent {sender} wrote {come}, and {texts} came"]


def effect_problems(effects: Iterable[str], transcripts: Transcripts) -> list[str]:
    """Where what tools did breaks the law of effects."""
    counts = Counter(effects)
    problems = [f"{key} was done {count} times" for key, count in counts.items() if count > 1]
    calls = {call.id: call for messages in transcripts.values() for message in messages for call in message.tool_calls or () if call.name in ONCE}
    problems += [f"{key} was done, and nobody called for it" for key in counts if key not in calls]
    for messages in transcripts.values():
        for message in messages:
            if message.role == "tool" and message.tool_call_id in calls and not is_lost(message) and message.tool_call_id not in counts:
                problems.append(f"{message.tool_call_id} says that it was done, and it was not: {message.content!r}")
    return problems


def lost_in(transcripts: Transcripts) -> list[str]:
    """The calls of which nobody knows what they did."""
    return [message.tool_call_id or "" for messages in transcripts.values() for message in messages if is_lost(message)]


def completed_problems(completed: Iterable[tuple[int, str, str]], transcripts: Transcripts) -> list[str]:
    """Which runs that were acknowledged as complete (agent, input, answer) are not in the transcripts."""
    return [
        f"agent {number} has completed {asked!r} with {text!r}, and its transcript does not say so"
        for number, asked, text in completed
        if text not in _answers_to(asked, transcripts.get(number, ()))
    ]


def _answers_to(asked: str, messages: Sequence[Message]) -> list[str]:
    at = next((at for at, message in enumerate(messages) if message.role == "user" and message.content == asked), len(messages))
    end = next((index for index in range(at + 1, len(messages)) if INPUT.fullmatch(messages[index].content)), len(messages))
    return [message.content for message in messages[at:end] if message.role == "assistant" and not message.interrupted]
