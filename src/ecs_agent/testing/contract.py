"""`assert_provider_contract`: everything an agent relies on, held against one provider. A provider that is listed passes all of it.

A behaviour is a function that scripts a server, asks the provider, and says what differs. The table `BEHAVIOURS` names them, so that a test can
run them one by one:

    @pytest.mark.parametrize("behaviour", BEHAVIOURS)
    def test_my_provider(behaviour): run(lambda: BEHAVIOURS[behaviour](Subject(make_provider, "anthropic")))
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from ecs_agent.errors import ErrorKind, ProviderError, UnsupportedFeatureError
from ecs_agent.providers.calling import ask
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.providers.script import Answer, Script, Step
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.testing.answers import ServerAnswer
from ecs_agent.testing.fault_laws import assert_fault_laws
from ecs_agent.testing.fault_plan import FaultPlan
from ecs_agent.testing.laws import BrokenLawError, Law, check_calls, check_deltas
from ecs_agent.testing.request_laws import request_problems
from ecs_agent.testing.script_reply import scripted_reply
from ecs_agent.testing.stream_laws import assert_stream_laws
from ecs_agent.testing.transport import ScriptedTransport
from ecs_agent.testing.watched import opened
from ecs_agent.testing.wire import WireWriter
from ecs_agent.testing.wires import WIRES, WireFamily, writer_of
from ecs_agent.types import (
    CompletionResult,
    FinishReason,
    ImagePart,
    JsonObject,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    StreamDelta,
    TextPart,
    ToolCall,
    ToolSchema,
    Usage,
)

ADD: Final = ToolSchema("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
ASKED: Final = (Message("user", "Hello"),)
CANARY: Final = "canary-5f1c9e2b7d604a83"
"""A key that must appear nowhere."""

_PIXEL: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)
_UNICODE: Final = 'naïve 漢字 🙂 e\u0301 👩\u200d👩\u200d👧 \u2028 \x7f \\ " data: x [DONE] \t\nend'


@dataclass(frozen=True, slots=True)
class Subject:
    """What is held against the contract.

    Attributes:
        make: makes the provider from a transport that answers from scripts. It should not retry, its key is `CANARY`, and its limit for a silent
            server is some seconds.
        wire: the protocol that it speaks.
    """

    make: Callable[[ScriptedTransport], ProviderLike]
    wire: WireFamily = "openai-chat"

    @property
    def writer(self) -> type[WireWriter]:
        """Who writes its protocol."""
        return writer_of(self.wire)

    def can_say(self, steps: Sequence[Step]) -> bool:
        """Whether its protocol has words for an answer."""
        return all(self.writer.can_say(step) for step in steps)


Behaviour: TypeAlias = Callable[[Subject], Coroutine[Any, Any, None]]


async def assert_provider_contract(make: Callable[[ScriptedTransport], ProviderLike], wire: WireFamily = "openai-chat") -> None:
    """Hold a provider against every behaviour of the contract.

    Run it on virtual time: `ecs_agent.testing.run(lambda: assert_provider_contract(make, "anthropic"))`.

    Args:
        make: see `Subject`.
        wire: the protocol that the provider speaks.

    Raises:
        BrokenLawError: the law, and what differed. It is an AssertionError.
    """
    for name, behaviour in BEHAVIOURS.items():
        try:
            await behaviour(Subject(make, wire))
        except BrokenLawError as error:
            raise BrokenLawError(error.law, error.difference, f"behaviour: {name}") from error


# Asking


async def _streamed(
    subject: Subject, answers: Sequence[ServerAnswer], messages: Sequence[Message] = ASKED, **options: Any
) -> tuple[CompletionResult, list[StreamDelta], ScriptedTransport]:
    transport = ScriptedTransport(answers)
    async with _closing(subject.make(transport)) as provider:
        stream = await opened(provider, messages, cast("RequestOptions", options))
        deltas = [delta async for delta in stream]
        check_deltas(deltas, stream.result(), ended=True)
        await stream.aclose()
        return stream.result(), deltas, transport


class _closing:  # noqa: N801 - used as a word in a sentence
    """Closes a provider, if it can be closed."""

    def __init__(self, provider: ProviderLike) -> None:
        self._provider = provider

    async def __aenter__(self) -> ProviderLike:
        return self._provider

    async def __aexit__(self, *_: object) -> None:
        close = getattr(self._provider, "aclose", None)
        if close is not None:
            await close()


async def _both(subject: Subject, answer: Answer, **options: Any) -> CompletionResult:
    """The streamed answer, which must be the whole one as well."""
    result, _, _ = await _streamed(subject, [answer], **options)
    async with _closing(subject.make(ScriptedTransport([answer]))) as provider:
        whole = await ask(provider, ASKED, cast("RequestOptions", options))
    _same(Law.WHOLE, "the whole answer", _facts(whole), _facts(result))
    return result


def _facts(result: CompletionResult) -> tuple[object, ...]:
    message = result.message
    return (message.content, message.reasoning, message.refusal, message.tool_calls, result.finish_reason, result.usage)


def _same(law: Law, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise BrokenLawError(law, f"{what} is {found!r}, expected {expected!r}")


# What is said


async def _text(subject: Subject) -> None:
    result = await _both(subject, ["Hello, ", "world."])
    _same(Law.TEXT, "the text", (result.message.content, result.finish_reason, result.message.tool_calls), ("Hello, world.", "stop", None))


async def _unicode(subject: Subject) -> None:
    for split in ("bytes", "characters", "one", "random"):
        reply = scripted_reply(_UNICODE, FaultPlan(split=split, by="character"), wire=subject.wire)
        result, _, _ = await _streamed(subject, [reply])
        _same(Law.TEXT, f"the text in the split {split!r}", result.message.content, _UNICODE)


async def _reasoning(subject: Subject) -> None:
    result = await _both(subject, [ReasoningPart("First I think."), "Then I speak."])
    _same(Law.TEXT, "the answer", (result.message.reasoning, result.message.content), ("First I think.", "Then I speak."))


async def _refusal(subject: Subject) -> None:
    said: list[Step] = [RefusalPart("I would rather not.")]
    if subject.can_say(said):
        result = await _both(subject, said)
        _same(Law.TEXT, "the refusal", (result.message.refusal, result.message.content), ("I would rather not.", ""))
    result = await _both(subject, Script("I", finish_reason="content_filter"))
    _same(Law.FINISH, "the finish reason of a filtered answer", result.finish_reason, "content_filter")


async def _empty_turn(subject: Subject) -> None:
    result = await _both(subject, Script(usage=Usage(3, 0, 3)))
    _same(Law.FINISH, "an empty turn", (result.message.parts, result.finish_reason), ((), "stop"))


async def _stop_reasons(subject: Subject) -> None:
    reasons: list[FinishReason] = sorted(subject.writer.finishes - {"tool_calls"})
    for reason in reasons:
        result = await _both(subject, Script("Some words", finish_reason=reason))
        _same(Law.FINISH, "the finish reason", result.finish_reason, reason)


async def _usage_totals(subject: Subject) -> None:
    result = await _both(subject, ["Hi.", Usage(20, 5, 25, 12)])
    usage = result.usage
    if usage is None:
        raise BrokenLawError(Law.FINISH, "the usage that the server told is lost")
    _same(Law.FINISH, "the usage", (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, usage.cached_tokens), (20, 5, 25, 12))
    silent, _, _ = await _streamed(subject, [scripted_reply(["Hi.", Usage(20, 5, 25)], FaultPlan(usage="missing"), wire=subject.wire)])
    _same(Law.FINISH, "a usage that nobody told", silent.usage, None)


# Tools


async def _calls(subject: Subject) -> None:
    for calls in (
        [ToolCall("call_1", "add", {"a": 1})],
        [ToolCall("call_1", "add", {})],
        [ToolCall("call_1", "add", {"a": 1}), ToolCall("call_2", "add", {"a": 2}), ToolCall("call_3", "look_up", {"städte": ["Köln", None, 1.5]})],
    ):
        result = await _both(subject, ["Let me see.", *calls], tools=[ADD])
        check_calls(result.message.tool_calls or [])
        _same(Law.ARGUMENTS, "the calls", (result.message.tool_calls, result.finish_reason), (calls, "tool_calls"))


async def _invalid_arguments(subject: Subject) -> None:
    for text, finish in (("[1]", None), ('{"a": 1}}', None), ('{"a": "abc', "length")):
        said: list[Step] = [ToolCall("call_1", "add", raw_arguments=text)]
        if not subject.can_say(said):
            continue
        reason: FinishReason | None = "length" if finish else None
        result, _, _ = await _streamed(subject, [Script(steps=said, finish_reason=reason)], tools=[ADD])
        (call,) = result.message.tool_calls or (None,)
        if call is None or call.arguments_error is None or call.raw_arguments != text or call.arguments:
            raise BrokenLawError(Law.ARGUMENTS, f"the arguments {text!r} came out as {call!r}")


async def _round_trip(subject: Subject) -> None:
    """What a model called and what came of it goes back as its API wants it."""
    said: list[Step] = [ReasoningPart("Hm."), "Let me see.", ToolCall("call_1", "add", {"a": 1}), ToolCall("call_2", "add", {"a": 2})]
    first, _, _ = await _streamed(subject, [said], tools=[ADD])
    results = [Message("tool", "1", tool_call_id="call_1"), Message("tool", "it failed", tool_call_id="call_2", is_error=True)]
    for later in ([], [Message("user", "And now?")]):
        _, _, transport = await _streamed(subject, ["Three."], [*ASKED, first.message, *results, *later], tools=[ADD])
        body = transport.requests[0].body
        _well_formed(subject, body)
        for word in ("it failed", "Let me see."):
            _contains(body, word)


async def _image_in_a_result(subject: Subject) -> None:
    call = Message("assistant", None, [ToolCall("call_1", "add", {"a": 1})])
    shown = Message("tool", [TextPart("the picture"), ImagePart(data=_PIXEL)], tool_call_id="call_1")
    try:
        _, _, transport = await _streamed(subject, ["I see."], [*ASKED, call, shown], tools=[ADD])
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


async def _hand_over(subject: Subject) -> None:
    """Any conversation goes on here, wherever it came from; what only another protocol understands is set aside, not sent and not lost."""
    messages = foreign_conversation()
    before = list(messages)
    _, _, transport = await _streamed(subject, ["Done."], messages, tools=[ADD])
    body = transport.requests[0].body
    _well_formed(subject, body)
    sent = json.dumps(body)
    for family in WIRES:
        _contains(body, f"Asked {family}.")
        if family != subject.wire and f'"secret_of": "{family}"' in sent:
            raise BrokenLawError(Law.REQUEST, f"the replay data of {family} was sent to {subject.wire}")
    _same(Law.REQUEST, "the conversation afterwards", messages, before)


# Failures


async def _overflow(subject: Subject) -> None:
    plan = FaultPlan(refuse=ErrorKind.CONTEXT_LENGTH)
    error = await _refused(subject, plan)
    _same(Law.FAULT, "an overflow", (error.kind, error.retryable), (ErrorKind.CONTEXT_LENGTH, False))


async def _refused(subject: Subject, plan: FaultPlan) -> ProviderError:
    try:
        await _streamed(subject, [scripted_reply("Hi.", plan, wire=subject.wire)])
    except ProviderError as error:
        return error
    raise BrokenLawError(Law.FAULT, f"{plan!r} was taken for an answer")


async def _errors(subject: Subject) -> None:
    """Every kind of failure, before the answer and at every place of it."""
    plans = [FaultPlan(refuse=kind) for kind in ErrorKind]
    plans += [FaultPlan(fail_after=place, fail_with=kind) for kind in ErrorKind for place in range(4)]
    plans += [FaultPlan(cut_after=place, end=end) for end in ("eof", "reset", "stall") for place in range(4)]
    said: list[Step] = ["One two. ", ToolCall("call_1", "add", {"a": 1}), Usage(1, 2, 3)]
    await assert_fault_laws(_in_memory(subject), plans, answer=said, over="memory", wire=subject.wire)


async def _chaos(subject: Subject) -> None:
    await assert_fault_laws(_in_memory(subject), over="memory", wire=subject.wire)


def _in_memory(subject: Subject) -> Callable[[Any], ProviderLike]:
    return lambda transport: subject.make(cast("ScriptedTransport", transport))


async def _leaving(subject: Subject) -> None:
    """Closed, left, cancelled and dropped, early and late; an answer that is over stays over."""
    answers: list[list[Step]] = [
        ["One ", 0.01, "two ", 0.01, "three."],
        ["Hi.", ToolCall("call_1", "add", {"a": 1})],
        [ReasoningPart("Hm. "), 0.01, "Yes."],
    ]
    for answer in answers:
        async with _closing(subject.make(ScriptedTransport([answer]))) as provider:
            await assert_stream_laws(provider, deterministic=True)


async def _asked_wrongly(subject: Subject) -> None:
    transport = ScriptedTransport(["Hi."])
    async with _closing(subject.make(transport)) as provider:
        for options, expected in (({"response_format": {"type": "json_object"}}, UnsupportedFeatureError), ({"temprature": 1}, TypeError)):
            try:
                await provider.complete(list(ASKED), stream=True, **options)
            except expected:
                continue
            raise BrokenLawError(Law.STRUCTURED, f"a stream with {options} was accepted")
    _same(Law.STRUCTURED, "the number of requests that were sent", len(transport.requests), 0)


async def _secrets(subject: Subject) -> None:
    """The key is sent, and appears nowhere else, even where the server says it back."""
    with _everything_logged() as lines:
        for kind in ErrorKind:
            for plan in (FaultPlan(refuse=kind), FaultPlan(fail_after=1, fail_with=kind)):
                echo: Answer = ["Hi. ", "there. "]
                reply = scripted_reply(echo, plan, wire=subject.wire)
                pieces = [piece.replace(b"by plan", f"by plan {CANARY}".encode()) if isinstance(piece, bytes) else piece for piece in reply.pieces]
                transport = ScriptedTransport([type(reply)(pieces, reply.status, {**reply.headers, "x-request-id": CANARY}, reply.end)])
                error = await _failure(subject.make(transport))
                for place in (str(error), repr(error), repr(vars(error)), *lines):
                    if CANARY in place:
                        raise BrokenLawError(Law.SECRETS, f"the key is in {place[:200]!r}")
                if is_object(transport.requests[0].body) and CANARY in json.dumps(transport.requests[0].body):
                    raise BrokenLawError(Law.SECRETS, "the key is in the body of the request")
                if CANARY not in repr(transport.requests[0].headers):
                    raise BrokenLawError(Law.SECRETS, "the key was not sent, so this says nothing; give the provider the key CANARY")


async def _failure(provider: ProviderLike) -> ProviderError | None:
    async with _closing(provider):
        try:
            stream = await opened(provider, ASKED, {})
            async for _ in stream:
                pass
        except ProviderError as error:
            return error
    return None


class _Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, with all its fields."""
        self.lines.append(f"{record.getMessage()} {vars(record)!r}")


@contextmanager
def _everything_logged() -> Generator[list[str]]:
    handler, logger = _Lines(), logging.getLogger("ecs_agent")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


BEHAVIOURS: Final[dict[str, Behaviour]] = {
    "text": _text,
    "unicode in every split": _unicode,
    "reasoning": _reasoning,
    "refusal": _refusal,
    "an empty turn": _empty_turn,
    "stop reasons": _stop_reasons,
    "usage totals": _usage_totals,
    "tool calls: one, without arguments, parallel": _calls,
    "tool calls: invalid and truncated arguments": _invalid_arguments,
    "tool results go back": _round_trip,
    "an image in a tool result": _image_in_a_result,
    "a conversation from anywhere": _hand_over,
    "overflow": _overflow,
    "errors at every phase": _errors,
    "chaos": _chaos,
    "leaving at every phase": _leaving,
    "wrong options": _asked_wrongly,
    "secrets": _secrets,
}
"""What a provider must do, by name."""
