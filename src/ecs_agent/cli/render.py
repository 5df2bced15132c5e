"""A run as people read it: the answer as it arrives, and around it quiet lines about reasoning, tools, time and tokens.

→ add(a=2, b=3)
← 5
The sum is 5.
0.42 s to first token · 57 tokens/s · 132 tokens in, 17 out
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from ecs_agent import (
    Finished,
    ReasoningDelta,
    RefusalDelta,
    RunCompleted,
    TextDelta,
    ToolExecutionCompleted,
    ToolExecutionStarted,
)
from ecs_agent.agent import AgentEvent
from ecs_agent.cli.sanitize import TerminalSanitizer, one_line
from ecs_agent.cli.terminal import Look, Terminal
from ecs_agent.systems.attempt import AttemptDiscarded, TurnStarted
from ecs_agent.types import CompletionResult, Timing, ToolCall, Usage

_CUT_SHORT = {
    "length": "the answer was cut at the token limit",
    "content_filter": "the answer was cut by the provider's content filter",
    "pause": "the provider paused the answer",
}

_ENDED = {
    "max_turns": "the limit of turns for one input is reached",
    "max_tokens": "the limit of tokens for one input is reached",
    "provider_exhausted": "the scripted model has no answer left",
}


@dataclass(slots=True)
class _Statistics:
    """What the turns of a run took together."""

    first_delta: float | None = None
    tokens_per_second: float | None = None
    usage: Usage | None = None

    def add(self, result: CompletionResult) -> None:
        """Take one turn into account: the first one's wait, the last one's speed, the tokens of all."""
        timing = result.timing or Timing()
        if self.first_delta is None:
            self.first_delta = timing.time_to_first_delta
        self.tokens_per_second = timing.tokens_per_second or self.tokens_per_second
        if result.usage is not None:
            self.usage = result.usage if self.usage is None else self.usage + result.usage

    def __str__(self) -> str:
        facts = [
            f"{_short(self.first_delta)} s to first token" if self.first_delta is not None else "",
            f"{_short(self.tokens_per_second)} tokens/s" if self.tokens_per_second else "",
            _tokens(self.usage) if self.usage else "",
        ]
        return " · ".join(fact for fact in facts if fact)


@dataclass(slots=True)
class Transcript:
    """Shows one run, event by event.

    Attributes:
        answer: where the answer's text goes.
        notes: where everything else goes; None shows nothing else but what makes the answer incomplete, on `alarms`.
        alarms: where that goes.
        reasoning: show what the model thinks, too; on `notes`.
        trim: leave out empty lines at the beginning of the answer.
    """

    answer: Terminal
    notes: Terminal | None
    alarms: Terminal
    reasoning: bool = True
    trim: bool = True
    _look: Look = Look.PLAIN
    _began: bool = False
    _sanitizer: TerminalSanitizer = field(default_factory=TerminalSanitizer)
    _open_calls: int = 0
    _batch: int = 0
    _remarks: list[str] = field(default_factory=list[str])
    _statistics: _Statistics = field(default_factory=_Statistics)

    def show(self, event: AgentEvent) -> None:
        """Show what has to be seen of an event."""
        match event:
            case TextDelta(text=text) | RefusalDelta(text=text):
                self._write(text, Look.PLAIN)
            case ReasoningDelta(text=text) if self.reasoning and self.notes is not None:
                self._write(text, Look.QUIET)
            case TurnStarted():
                self.answer.wait()
            case AttemptDiscarded(message=message):
                if message is not None:
                    self._note("the answer broke off and is asked for again; what stands above does not hold")
            case ToolExecutionStarted(call=call):
                self._call(call)
            case ToolExecutionCompleted():
                self._outcome(event)
            case Finished(result=result):
                self._turn_over(result)
            case RunCompleted():
                self._run_over(event)
            case _:
                pass  # the pieces of calls are for programs, and an answer that goes on is simply longer

    def end(self) -> None:
        """Finish the last line; after it the run may have gone on or not, but nothing is held back."""
        self._break_off()
        for terminal in (self.answer, self.notes):
            if terminal is not None:
                terminal.fresh_line()

    def statistics(self) -> str:
        """Time to the first token, tokens per second and usage, as far as they are known."""
        return str(self._statistics)

    def _write(self, text: str, look: Look) -> None:
        if look is not self._look:
            self._break_off()
            self._look = look
        if self.trim and not self._began:
            text = text.lstrip("\n")
        if text:
            self._began = True
            self._emit(self._sanitizer.feed(text))

    def _emit(self, text: str) -> None:
        terminal = self.answer if self._look is Look.PLAIN else self.notes
        if terminal is not None:
            terminal.write(text, self._look)

    def _break_off(self) -> None:
        """What comes next is something else: show what was held back, and begin a new line."""
        self._emit(self._sanitizer.flush())
        (self.answer if self._look is Look.PLAIN or self.notes is None else self.notes).fresh_line()
        self._began, self._look = False, Look.PLAIN

    def _note(self, text: str, look: Look = Look.QUIET) -> None:
        self._break_off()
        if self.notes is not None:
            self.notes.line(text, look)

    def _call(self, call: ToolCall) -> None:
        self._batch = 1 if self._open_calls == 0 else self._batch + 1
        self._open_calls += 1
        width = self.notes.width if self.notes is not None else 0
        self._note("→ " + one_line(written_out(call), width - 2), Look.TOOL)

    def _outcome(self, event: ToolExecutionCompleted) -> None:
        self._open_calls = max(self._open_calls - 1, 0)
        if self.notes is None:
            return
        whose = f"{event.call.name}: " if self._batch > 1 else ""
        took = f" ({_short(event.seconds)} s)" if event.seconds >= 1 else ""
        text = one_line(whose + (event.text or "(nothing)"), self.notes.width - 2 - len(took))
        self._note(f"{'✗' if event.is_error else '←'} {text}{took}", Look.ALARM if event.is_error else Look.TOOL)

    def _turn_over(self, result: CompletionResult) -> None:
        self._break_off()
        self._statistics.add(result)
        reason = result.finish_reason
        if reason in _CUT_SHORT:
            self._remarks.append(_CUT_SHORT[reason])
        elif reason is None and result.raw_finish_reason:
            self._remarks.append(f"the answer ended for a reason of the provider's own: {one_line(result.raw_finish_reason, 80)}")

    def _run_over(self, event: RunCompleted) -> None:
        self._break_off()
        if event.reason == "idle" and not event.text and not self._remarks:
            self._note("(no answer)")
        for remark in self._remarks:
            self.alarms.line(f"note: {remark}", Look.QUIET)


def written_out(call: ToolCall) -> str:
    """A call as one would write it: add(a=2, b=3)."""
    if call.arguments_error is not None:
        return f"{call.name}({call.raw_arguments or ''})"
    return f"{call.name}({', '.join(f'{name}={json.dumps(value, ensure_ascii=False)}' for name, value in call.arguments.items())})"


def failure_of(event: RunCompleted) -> str | None:
    """Why a run that is over did not reach its answer; None if it did, or was stopped by its user."""
    if event.reason in {"idle", "interrupted"}:
        return None
    cause = event.detail or event.reason
    return _ENDED.get(cause) or f"the agent ended: {one_line(cause, 200)}"


def _tokens(usage: Usage) -> str:
    about = "about " if usage.estimated else ""
    cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
    return f"{about}{usage.prompt_tokens:,} tokens in{cached}, {usage.completion_tokens:,} out"


def _short(number: float) -> str:
    """Two digits that matter, and no more of them than a glance can take in."""
    return f"{number:.2f}" if number < 1 else f"{number:.1f}" if number < 10 else f"{number:,.0f}"
