"""The behaviours of a provider whose server answers as it should: what is said, what is called, and what goes back."""

from __future__ import annotations

import json
from typing import Any, Final

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.script import Script, Step
from ecs_agent.testing.contract_subject import ADD, ASKED, Subject, both, same, streamed
from ecs_agent.testing.fault_plan import FaultPlan
from ecs_agent.testing.laws import BrokenLawError, Law, check_calls
from ecs_agent.testing.request_laws import request_problems
from ecs_agent.testing.script_reply import scripted_reply
from ecs_agent.testing.wires import WIRES
from ecs_agent.types import (
    FinishReason,
    ImagePart,
    JsonObject,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCall,
    Usage,
)

_PIXEL: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)
_UNICODE: Final = 'naïve 漢字 🙂 e\u0301 👩\u200d👩\u200d👧 \u2028 \x7f \\ " data: x [DONE] \t\nend'


# What is said


async def text(subject: Subject) -> None:
    """Text comes out as it was said."""
    result = await both(subject, ["Hello, ", "world."])
    same(Law.TEXT, "the text", (result.message.content, result.finish_reason, result.message.tool_calls), ("Hello, world.", "stop", None))


async def unicode(subject: Subject) -> None:
    """Whatever a text holds, and however its bytes are cut."""
    for split in ("bytes", "characters", "one", "random"):
        reply = scripted_reply(_UNICODE, FaultPlan(split=split, by="character"), wire=subject.wire)
        result, _, _ = await streamed(subject, [reply])
        same(Law.TEXT, f"the text in the split {split!r}", result.message.content, _UNICODE)


async def reasoning(subject: Subject) -> None:
    """Thoughts are told apart from the answer."""
    result = await both(subject, [ReasoningPart("First I think."), "Then I speak."])
    same(Law.TEXT, "the answer", (result.message.reasoning, result.message.content), ("First I think.", "Then I speak."))


async def refusal(subject: Subject) -> None:
    """A refusal in words of its own is told as one, and an answer that was filtered is no success."""
    said: list[Step] = [RefusalPart("I would rather not.")]
    if subject.can_say(said):
        result = await both(subject, said)
        same(Law.TEXT, "the refusal", (result.message.refusal, result.message.content), ("I would rather not.", ""))
    result = await both(subject, Script("I", finish_reason="content_filter"))
    same(Law.FINISH, "the finish reason of a filtered answer", result.finish_reason, "content_filter")


async def empty_turn(subject: Subject) -> None:
    """A turn in which nothing is said is legal."""
    result = await both(subject, Script(usage=Usage(3, 0, 3)))
    same(Law.FINISH, "an empty turn", (result.message.parts, result.finish_reason), ((), "stop"))


async def stop_reasons(subject: Subject) -> None:
    """Every reason to end that the protocol knows."""
    reasons: list[FinishReason] = sorted(subject.writer.finishes - {"tool_calls"})
    for reason in reasons:
        result = await both(subject, Script("Some words", finish_reason=reason))
        same(Law.FINISH, "the finish reason", result.finish_reason, reason)


async def usage_totals(subject: Subject) -> None:
    """Tokens are counted as the server told, and not at all where it did not tell."""
    result = await both(subject, ["Hi.", Usage(20, 5, 25, 12)])
    usage = result.usage
    if usage is None:
        raise BrokenLawError(Law.FINISH, "the usage that the server told is lost")
    same(Law.FINISH, "the usage", (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, usage.cached_tokens), (20, 5, 25, 12))
    silent, _, _ = await streamed(subject, [scripted_reply(["Hi.", Usage(20, 5, 25)], FaultPlan(usage="missing"), wire=subject.wire)])
    same(Law.FINISH, "a usage that nobody told", silent.usage, None)


# Tools


async def calls(subject: Subject) -> None:
    """One call, one without arguments, several at once."""
    for calls in (
        [ToolCall("call_1", "add", {"a": 1})],
        [ToolCall("call_1", "add", {})],
        [ToolCall("call_1", "add", {"a": 1}), ToolCall("call_2", "add", {"a": 2}), ToolCall("call_3", "look_up", {"städte": ["Köln", None, 1.5]})],
    ):
        result = await both(subject, ["Let me see.", *calls], tools=[ADD])
        check_calls(result.message.tool_calls or [])
        same(Law.ARGUMENTS, "the calls", (result.message.tool_calls, result.finish_reason), (calls, "tool_calls"))


async def invalid_arguments(subject: Subject) -> None:
    """Arguments that are no JSON object, or were cut off, are kept as text, marked, and never run."""
    for text, finish in (("[1]", None), ('{"a": 1}}', None), ('{"a": "abc', "length")):
        said: list[Step] = [ToolCall("call_1", "add", raw_arguments=text)]
        if not subject.can_say(said):
            continue
        reason: FinishReason | None = "length" if finish else None
        result, _, _ = await streamed(subject, [Script(steps=said, finish_reason=reason)], tools=[ADD])
        (call,) = result.message.tool_calls or (None,)
        if call is None or call.arguments_error is None or call.raw_arguments != text or call.arguments:
            raise BrokenLawError(Law.ARGUMENTS, f"the arguments {text!r} came out as {call!r}")


async def round_trip(subject: Subject) -> None:
    """What a model called and what came of it goes back as its API wants it."""
    said: list[Step] = [ReasoningPart("Hm."), "Let me see.", ToolCall("call_1", "add", {"a": 1}), ToolCall("call_2", "add", {"a": 2})]
    first, _, _ = await streamed(subject, [said], tools=[ADD])
    results = [Message("tool", "1", tool_call_id="call_1"), Message("tool", "it failed", tool_call_id="call_2", is_error=True)]
    for later in ([], [Message("user", "And now?")]):
        _, _, transport = await streamed(subject, ["Three."], [*ASKED, first.message, *results, *later], tools=[ADD])
        body = transport.requests[0].body
        _well_formed(subject, body)
        for word in ("it failed", "Let me see."):
            _contains(body, word)


async def image_in_a_result(subject: Subject) -> None:
    """A tool may answer with a picture, where the API can say so."""
    call = Message("assistant", None, [ToolCall("call_1", "add", {"a": 1})])
    shown = Message("tool", [TextPart("the picture"), ImagePart(data=_PIXEL)], tool_call_id="call_1")
    try:
        _, _, transport = await streamed(subject, ["I see."], [*ASKED, call, shown], tools=[ADD])
    except UnsupportedFeatureError:
        return  # said before anything was sent; some APIs cannot
    _well_formed(subject, transport.requests[0].body)
    _contains(transport.requests[0].body, "the picture")


def _well_formed(subject: Subject, body: Any) -> None:
    problems = request_problems(subject.wire, body)
    if problems:
        raise BrokenLawError(Law.REQUEST, "; ".join(problems))


def _contains(body: Any, word: str) -> None:
    if word not in json.dumps(body, ensure_ascii=False):
        raise BrokenLawError(Law.REQUEST, f"{word!r} is not in the request")


def foreign_conversation() -> list[Message]:
    """A conversation that was led with all protocols: thoughts and replay data of each, ids of every form, broken calls, interrupted answers."""
    messages = [Message("system", "Be brief."), Message("user", [TextPart("What is this?"), ImagePart(data=_PIXEL)])]
    for number, family in enumerate(WIRES):
        ids = [f"{family} call/{number}.1", f"call_{'x' * 80}_{number}"]
        opaque: JsonObject = {family: {"secret_of": family}}
        calls = [ToolCall(ids[0], "add", {"a": 1}, opaque=opaque), ToolCall(ids[1], "add", raw_arguments='{"a', arguments_error="They are cut off.")]
        thought: list[Part] = [ReasoningPart("I thought."), OpaquePart(family, {"type": "reasoning", "secret_of": family})]
        messages += [
            Message("assistant", parts=[*thought, TextPart(f"Asked {family}."), *calls]),
            Message("tool", "1", tool_call_id=ids[0]),
            Message("tool", "They are cut off.", tool_call_id=ids[1], is_error=True),
            Message("assistant", parts=[RefusalPart("No."), TextPart("Half an ans")], interrupted=True),
            Message("user", "Go on."),
            Message("user", "Please."),
            Message("assistant", parts=[ReasoningPart("Only a thought.")]),
            Message("user", f"And {number}?"),
        ]
    return messages


async def hand_over(subject: Subject) -> None:
    """Any conversation goes on here, wherever it came from; what only another protocol understands is set aside, not sent and not lost."""
    messages = foreign_conversation()
    before = list(messages)
    _, _, transport = await streamed(subject, ["Done."], messages, tools=[ADD])
    body = transport.requests[0].body
    _well_formed(subject, body)
    sent = json.dumps(body)
    for family in WIRES:
        _contains(body, f"Asked {family}.")
        if family != subject.wire and f'"secret_of": "{family}"' in sent:
            raise BrokenLawError(Law.REQUEST, f"the replay data of {family} was sent to {subject.wire}")
    same(Law.REQUEST, "the conversation afterwards", messages, before)
