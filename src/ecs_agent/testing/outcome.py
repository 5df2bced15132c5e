"""Outcome: what a correct client reports of a scripted answer that went through a fault plan, worked out without any client."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from json import JSONDecoder

from ecs_agent.errors import ErrorKind, ProviderError
from ecs_agent.providers.script import Answer, Script, script_of
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.testing.fault_plan import FaultPlan
from ecs_agent.testing.script_reply import refusal_kind
from ecs_agent.testing.wire import WireEvent, parsed
from ecs_agent.testing.wires import WireFamily, writer_of
from ecs_agent.types import CompletionResult, FinishReason, StreamDelta, ToolCall, Usage


@dataclass(frozen=True, slots=True)
class Ending:
    """One way in which an answer may rightly end: whole (kind None) or with an error, after these deltas."""

    kind: ErrorKind | None
    deltas: tuple[StreamDelta, ...] = ()
    usage: Usage | None = None
    finish: FinishReason | None = None

    @property
    def text(self) -> str:
        """What had been said."""
        return "".join(delta.content or "" for delta in self.deltas)

    @property
    def reasoning(self) -> str:
        """What had been thought."""
        return "".join(delta.reasoning or "" for delta in self.deltas)

    @property
    def refusal(self) -> str:
        """What had been declined."""
        return "".join(delta.refusal or "" for delta in self.deltas)

    @property
    def begun(self) -> int:
        """How many tool calls had begun."""
        return max((len(delta.tool_calls or ()) for delta in self.deltas), default=0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What may rightly be reported. Mostly one ending; two where a body ends between an event's data and its blank line."""

    script: Script
    plan: FaultPlan
    endings: tuple[Ending, ...]

    def differs(self, result: CompletionResult | None, error: ProviderError | None) -> str | None:
        """What is wrong with a report, as a sentence; None if nothing is.

        Args:
            result: what arrived, whole or partial; None if nothing could.
            error: what the client raised.
        """
        found = [self._differs(ending, result, error) for ending in self.endings]
        return None if None in found else found[-1]

    def _differs(self, ending: Ending, result: CompletionResult | None, error: ProviderError | None) -> str | None:
        kind = error.kind if error is not None else None
        if kind is not ending.kind:
            return f"expected {_called(ending.kind)} after {len(ending.deltas)} deltas, got {_called(kind)}{f': {error}' if error else ''}"
        if result is None:
            return None if not ending.deltas else f"{len(ending.deltas)} deltas had arrived, but the error has no partial result"
        message = result.message
        if error is not None and not message.interrupted:
            return "the partial result of an error is not marked as interrupted"
        expected = {"text": ending.text, "reasoning": ending.reasoning, "refusal": ending.refusal}
        for name, value in (("text", message.content), ("reasoning", message.reasoning), ("refusal", message.refusal)):
            if value != expected[name]:
                return f"expected the {name} {expected[name]!r}, got {value!r}"
        if error is not None:
            return self._partial_calls(ending, message.tool_calls or [])
        if result.finish_reason != ending.finish:
            return f"expected the finish reason {ending.finish!r}, got {result.finish_reason!r}"
        if _counted(result.usage) != _counted(ending.usage):
            return f"expected {ending.usage}, got {result.usage}"
        return self._calls(ending, message.tool_calls or [])

    def _calls(self, ending: Ending, calls: Sequence[ToolCall]) -> str | None:
        wanted = _finished(self.script, ending.finish)
        if [_facts(call) for call in calls] != [_facts(call) for call in wanted]:
            return f"expected the tool calls {wanted}, got {list(calls)}"
        ids = [call.id for call in calls]
        if len(set(ids)) != len(ids) or not all(ids):
            return f"the ids of tool calls must be distinct and not empty, got {ids}"
        if self.plan.call_ids == "given" and ids != [call.id for call in wanted]:
            return f"expected tool calls with the ids {[call.id for call in wanted]}, got {ids}"
        return None

    def _partial_calls(self, ending: Ending, calls: Sequence[ToolCall]) -> str | None:
        """Of an answer that broke off no call is run; those that are reported must be whole ones, as far as could be known."""
        begun = [step for step in self.script.in_order if isinstance(step, ToolCall)][: ending.begun]
        whole = [(call.name, _first_object(call), None, False) for call in begun]
        for call in calls:
            if _facts(call) not in whole:
                return f"the partial result holds {call}, which had not arrived whole"
        return None


def expected_outcome(answer: Answer, plan: FaultPlan, *, lossy: bool = False, wire: WireFamily = "openai-chat") -> Outcome:
    """What a correct client reports.

    Args:
        answer: what was scripted.
        plan: what went wrong on the way.
        lossy: the answer came over a real connection, where a reset may destroy what its reader has not read yet.
        wire: in which protocol it was told.
    """
    script = script_of(answer)
    refused = refusal_kind(script, plan)
    if refused is not None:
        kinds = [refused, *([ErrorKind.CONNECTION] if lossy and refused is ErrorKind.STREAM_INTERRUPTED else [])]
        return Outcome(script, plan, tuple(Ending(kind) for kind in kinds))
    events = [item for item in writer_of(wire)(script, plan).written() if isinstance(item, WireEvent)]
    arrived, perhaps = _arrived(events, plan.cut_at_byte)
    reset = plan.end == "reset" or any(event.failure is ErrorKind.STREAM_INTERRUPTED for event in events[:arrived])
    fewest = 0 if lossy and reset else arrived
    endings = [_ending(script, plan, events[:count]) for count in range(fewest, perhaps + 1)]
    if lossy and reset:
        endings.insert(0, Ending(ErrorKind.CONNECTION))
    return Outcome(script, plan, tuple(endings))


def _arrived(events: Sequence[WireEvent], cut: int | None) -> tuple[int, int]:
    """How many events arrive before the cut: for certain, and at most, since a last one may lack only its blank line."""
    if cut is None:
        return len(events), len(events)
    end = 0
    for number, event in enumerate(events):
        if cut <= end:
            return number, number
        if cut < end + len(event.raw):
            return number, number + (cut >= end + event.data_end)
        end += len(event.raw)
    return len(events), len(events)


def _ending(script: Script, plan: FaultPlan, events: Sequence[WireEvent]) -> Ending:
    deltas = tuple(event.says for event in events if event.says is not None)
    usage = next((event.usage for event in reversed(events) if event.usage is not None), None)
    failure = next((event.failure for event in events if event.failure is not None), None)
    finished = any(event.finish for event in events)
    if failure is not None:
        return Ending(failure, deltas)
    if finished or (deltas and any(event.done for event in events)):
        return Ending(None, deltas, usage, script.finish if finished else None)
    silent = plan.end == "stall" and not any(event.done for event in events)
    return Ending(ErrorKind.TIMEOUT if silent else ErrorKind.STREAM_INTERRUPTED, deltas)


def _finished(script: Script, finish: FinishReason | None) -> list[ToolCall]:
    """The scripted calls as they are when the answer has ended: arguments that are no JSON object stay text and are marked."""
    return [_finished_call(step, finish) for step in script.in_order if isinstance(step, ToolCall)]


def _finished_call(call: ToolCall, finish: FinishReason | None) -> ToolCall:
    if call.raw_arguments is None:
        return call
    if not call.raw_arguments.strip() and finish in ("stop", "tool_calls"):
        return ToolCall(call.id, call.name)
    found = parsed(call.raw_arguments)
    if is_object(found):
        return ToolCall(call.id, call.name, found)
    return ToolCall(call.id, call.name, raw_arguments=call.raw_arguments, arguments_error="not a JSON object")


def _first_object(call: ToolCall) -> object:
    """The arguments as they are when their text is first a JSON object; what comes after that makes them invalid again."""
    if call.raw_arguments is None:
        return call.arguments
    text = call.raw_arguments.lstrip()
    try:
        return JSONDecoder().raw_decode(text)[0] if text.startswith("{") else None
    except ValueError:
        return None


def _facts(call: ToolCall) -> tuple[object, ...]:
    return (call.name, call.arguments, call.raw_arguments, call.arguments_error is not None)


def _counted(usage: Usage | None) -> Usage | None:
    """The wire does not say that a count is an estimate."""
    return usage if usage is None else replace(usage, estimated=False)


def _called(kind: ErrorKind | None) -> str:
    return "a whole answer" if kind is None else f"an error of kind {str(kind)!r}"
