"""What the decoders of all wire protocols share: from the bytes of one body to its events, from failures to errors, from the end to the final delta.

A protocol's decoder says what an event means; the rules of a body are here, once:

* A body that is labelled as a stream may be one JSON value or a page, and the other way round; its first character tells.
* An error object counts before anything else in its event, wherever it stands; its own type or code decides, not the status 200 before it.
* Keep-alives are passed over, `[DONE]` ends the answer, what is neither that nor JSON is a malformed answer.
* A finish is held back until usage, the protocol's own end, `[DONE]`, or the end of the body. An end without a finish is a broken answer.
* Events that are new text and nothing else are read many at a time, or recognised undecoded, where the protocol has a shortcut for them.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from ecs_agent.errors import MalformedResponseError, ProviderError, ServerError, StreamInterruptedError
from ecs_agent.providers.classify import classify_error_object, error_object
from ecs_agent.providers.wire.call_log import CallLog
from ecs_agent.providers.wire.finish_words import FINISH, FINISH_ERRORS, finish_words
from ecs_agent.providers.wire.surrogates import Surrogates
from ecs_agent.providers.wire.text_template import TextTemplate
from ecs_agent.streaming.body import BodyBeginning
from ecs_agent.streaming.decoder import DecoderPhase
from ecs_agent.streaming.fold import TextDeltas
from ecs_agent.streaming.json_edge import NOT_JSON, is_object, parsed
from ecs_agent.streaming.sse import Item, Run, SSEDecoder, StrayLine
from ecs_agent.types import FinishReason, JsonObject, Part, StreamDelta, TokenLogprob, ToolCallFragment, Usage

MAX_BODY: Final = 32 * 1024 * 1024
_KEEP_ALIVE: Final = frozenset({"", "ping", "keep-alive", "keepalive", "heartbeat", ": keep-alive", ":keep-alive"})


class BodyDecoder(ABC):
    """Decodes one body of status 200, streamed or whole; see `StreamDecoder`.

    A protocol implements `_event`, which takes one event's data, `_object`, which takes what is JSON but not of the expected shape, and `_whole`,
    which takes a body that was not streamed. It hands out deltas by `_say`, notes a finish by `_finished`, and ends the answer by `_end`.

    Args:
        content_type: of the response; decides whether the body is a stream, one JSON object, or a page that has no business here.
        call_id: makes an id for a call that came without one, from its position.

    Attributes:
        protocol: how errors call the protocol.
        text_field: finds the beginning of the text in an event that is new text; None for a protocol whose events are never the same twice.
    """

    __slots__ = (
        "_beginning",
        "_call_id",
        "_calls",
        "_finish",
        "_in_text",
        "_raw_finish",
        "_seen",
        "_sse",
        "_surrogates",
        "_template",
        "_usage",
        "error",
        "phase",
    )

    protocol: ClassVar[str]
    text_field: ClassVar[re.Pattern[bytes] | None] = None

    def __init__(self, content_type: str = "text/event-stream", *, call_id: Callable[[int], str] = "call_{}".format) -> None:
        self.phase = DecoderPhase.OPEN
        self.error: ProviderError | None = None
        self._template = TextTemplate(self.text_field, self._texts_of) if self.text_field is not None else None
        self._sse = SSEDecoder(MAX_BODY, self._recognised if self._template is not None else None)
        self._beginning = BodyBeginning(content_type)
        self._call_id = call_id
        self._surrogates = Surrogates()
        self._calls: CallLog | None = None  # made when it is needed, as most answers need none
        self._finish: FinishReason | None = None
        self._raw_finish: str | None = None
        self._usage: Usage | None = None
        self._seen = False
        self._in_text = True  # whether the next events are expected to be new text and nothing else, and may be read so
        if content_type.partition(";")[0].strip().lower() == "text/html":
            self._fail(_page())

    # Bytes

    def feed(self, data: bytes) -> list[StreamDelta]:
        """Take the next bytes of the body."""
        deltas: list[StreamDelta] = []
        if self.phase is DecoderPhase.ENDED:
            return deltas
        try:
            items = self._sse.feed_runs(data if self._beginning.whole is None else self._beginning.feed(data))
            if len(items) == 1 and isinstance(texts := items[0], TextDeltas):
                return texts
            self._take(items, deltas)
        except MalformedResponseError as error:
            self._fail(error)
        except RecursionError:
            self._fail(_too_deep())
        if self._seen:
            self._beginning.whole = None
        elif self._beginning.whole is not None and len(self._beginning.whole) > MAX_BODY:
            self._fail(MalformedResponseError(f"the answer is larger than {MAX_BODY} bytes; it was given up"))
        return self._with_usage_of_a_failure(deltas)

    def eof(self) -> list[StreamDelta]:
        """The body ended cleanly."""
        deltas: list[StreamDelta] = []
        if self.phase is DecoderPhase.ENDED:
            return deltas
        try:
            self._take(self._sse.flush_runs(), deltas)
            if self.phase is DecoderPhase.OPEN and not self._seen and self._beginning.whole is not None:
                self._whole_body(self._beginning.whole.decode("utf-8", "replace").strip().removeprefix("\ufeff"), deltas)
        except MalformedResponseError as error:
            self._fail(error)
        except RecursionError:
            self._fail(_too_deep())
        self._over(deltas, "the body ended before the answer did")
        return self._with_usage_of_a_failure(deltas)

    def cut(self) -> list[StreamDelta]:
        """The connection was lost, or the tail took too long."""
        deltas: list[StreamDelta] = []
        if self.phase is DecoderPhase.ENDED:
            return deltas
        self._over(deltas, "the connection was lost in the middle of the answer")
        return self._with_usage_of_a_failure(deltas)

    def _with_usage_of_a_failure(self, deltas: list[StreamDelta]) -> list[StreamDelta]:
        """What was counted before an answer failed was spent, and is part of the partial."""
        if self.error is not None and (usage := self._counted()) is not None:
            deltas.append(StreamDelta(usage=usage))
        return deltas

    def _counted(self) -> Usage | None:
        """The usage that was reported so far."""
        return self._usage

    def _over(self, deltas: list[StreamDelta], what: str) -> None:
        if self.phase is DecoderPhase.TAIL:
            self._end(deltas)
        elif self.phase is DecoderPhase.OPEN:
            self._fail(StreamInterruptedError(f"{what}; what had arrived is kept as the partial result"))

    def _take(self, items: Sequence[Item], deltas: list[StreamDelta]) -> None:
        for item in items:
            if isinstance(item, TextDeltas):
                deltas += item
            elif isinstance(item, Run):
                self._run(item, deltas)
            elif isinstance(item, StrayLine):
                self._stray(item.text)
            else:
                self._event(item.event, item.data.encode(), deltas)
            if self.phase is DecoderPhase.ENDED:
                return

    def _stray(self, line: str) -> None:
        """A line that is no field: a server that fails often writes its error so, bare or as a field of its own."""
        name, colon, value = line.partition(":")
        named = bool(colon) and name.strip() == "error"
        found = parsed(value if named else line)
        if named and found is NOT_JSON and not value.lstrip().startswith("{"):
            found = value.strip()
        failure = found if named and found is not NOT_JSON else error_object(found)
        if failure is not None:
            self._fail(classify_error_object(failure))

    # Events

    def _recognised(self, blocks: bytes) -> TextDeltas | None:
        return self._template.texts(blocks) if self._template is not None and self._in_text else None

    def _run(self, run: Run, deltas: list[StreamDelta]) -> None:
        """Many events: recognised as texts, or read as texts all at once, as far as that is all they are; else one by one."""
        if (self._template is None or self._template.is_given_up) and self._said(run, deltas):
            return
        at, end = 0, len(run.lines)
        while at < end and self.phase is not DecoderPhase.ENDED:
            if self._template is not None and self._in_text:
                texts, at = self._template.leading(run, at)
                deltas += texts
            if at < end:
                line = run.line_at(at)
                at += len(line) + 1
                if not self._said(Run(line, 1, run.field, run.type), deltas):
                    self._event(run.type, line, deltas)

    def _said(self, run: Run, deltas: list[StreamDelta]) -> bool:
        """Whether a run is new text and nothing else; its deltas are handed out then, and the next events may be recognised by it."""
        texts = self._texts_of(run) if self._in_text and run.type != "error" else []
        said = [StreamDelta(text) for text in texts if text]
        if said:
            self._seen = True
            deltas += said
            if self._template is not None:
                self._template.learn(run, texts[-1])
        return bool(said)

    def _texts_of(self, run: Run) -> list[str]:  # noqa: ARG002 - for those that have a shortcut
        """The texts of a run's events if every one of them is new text and nothing else, even if that is empty; none if any is more."""
        return []

    @abstractmethod
    def _event(self, kind: str, data: bytes, deltas: list[StreamDelta]) -> None:
        """Take one event of a type. What has not the protocol's shape is for `_unusual`."""

    @abstractmethod
    def _object(self, kind: str, found: JsonObject, deltas: list[StreamDelta]) -> None:
        """Take an event of a type that is a JSON object of any shape, and no error: what does not fit is as if it were not there."""

    @abstractmethod
    def _whole(self, found: Any, deltas: list[StreamDelta]) -> None:
        """Take the JSON value of a body that was not streamed, and no error. An answer in it is one if it is `_seen` afterwards."""

    def _unusual(self, kind: str, word: str, deltas: list[StreamDelta]) -> None:
        """What is no event of the ordinary shape: the end, a keep-alive, an error, half a surrogate pair, JSON of another shape, or garbage."""
        if word == "[DONE]":
            self._done(deltas)
            return
        if word.lower() in _KEEP_ALIVE and kind != "error":
            return
        found = parsed(word)
        if found is NOT_JSON and kind.lower() in _KEEP_ALIVE:
            return
        failure = error_object(found)
        if kind == "error" or failure is not None:
            self._fail(classify_error_object(failure or (word if found is NOT_JSON else found)))
        elif is_object(found):
            self._object(kind, found, deltas)
        elif found is NOT_JSON and self.phase is DecoderPhase.TAIL:
            self._end(deltas)  # the answer is complete; what comes after it takes nothing away
        elif found is NOT_JSON:
            self._fail(_page() if word.startswith("<") else MalformedResponseError(f"the server sent an event that is not JSON: {word[:200]!r}"))

    def _done(self, deltas: list[StreamDelta]) -> None:
        if not self._seen and self.phase is DecoderPhase.OPEN:
            self._fail(StreamInterruptedError("the server ended the answer before it began"))
        else:
            self._end(deltas)

    # What events say

    @property
    def calls(self) -> CallLog:
        """The calls of the answer."""
        if self._calls is None:
            self._calls = CallLog(self._call_id)
        return self._calls

    def _say(
        self,
        deltas: list[StreamDelta],
        *,
        content: str = "",
        reasoning: str = "",
        refusal: str = "",
        fragments: tuple[ToolCallFragment, ...] = (),
        parts: tuple[Part, ...] = (),
        logprobs: tuple[TokenLogprob, ...] = (),
    ) -> None:
        """Hand out what an event adds to the answer, if it adds anything. Half a surrogate pair waits for its other half."""
        whole = self._surrogates.whole
        made = StreamDelta(
            whole("content", content) or None, reasoning=whole("reasoning", reasoning) or None, refusal=whole("refusal", refusal) or None
        )
        made.logprobs = logprobs
        made.parts = parts
        if fragments:
            made.tool_fragments = fragments
            made.tool_calls = self.calls.view()
        if made.content or made.reasoning or made.refusal or fragments or parts or logprobs:
            self._seen = True
            self._in_text = made.content is not None and self.phase is DecoderPhase.OPEN
            deltas.append(made)
        if self._surrogates.active:
            self._in_text = False  # the half that waits comes before what comes next

    def _finished(self, word: str) -> None:
        """The server says why the answer ended, in its own word. Its first word counts, but some say "stop" with every chunk until they say more."""
        self._seen = True
        words = finish_words(word)
        finish: FinishReason | None = next((FINISH[reading] for reading in words if reading in FINISH), None)
        if any(reading in FINISH_ERRORS for reading in words):
            self._fail(ServerError(f"the server gave the answer up with {word!r}; asking again may help"))
        elif self.phase is DecoderPhase.OPEN or (self.phase is DecoderPhase.TAIL and self._finish == "stop" and finish != "stop"):
            self._finish = finish
            self._raw_finish = word
            self.phase = DecoderPhase.TAIL
            self._in_text = False

    def _last_parts(self) -> tuple[Part, ...]:
        """Parts that are known only at the end."""
        return ()

    # The end

    def _end(self, deltas: list[StreamDelta]) -> None:
        """The answer is complete: hand out its final delta."""
        calls = self._calls or None  # an object without calls is as good as none
        finish = "tool_calls" if self._finish == "stop" and calls is not None else self._finish
        left = self._surrogates.rest_of
        deltas.append(
            StreamDelta(
                content=left("content") or None,
                reasoning=left("reasoning") or None,
                refusal=left("refusal") or None,
                tool_fragments=calls.rest() if calls is not None else (),
                tool_calls=calls.final(finish) if calls is not None else None,
                finish_reason=finish,
                usage=self._counted(),
                parts=self._last_parts(),
                raw_finish_reason=self._raw_finish,
                final=True,
            )
        )
        self.phase = DecoderPhase.ENDED

    def _whole_body(self, text: str, deltas: list[StreamDelta]) -> None:
        """A body that is no stream: an answer that was not streamed, an error, or a page."""
        found = parsed(text)
        failure = error_object(found)
        if failure is not None:
            self._fail(classify_error_object(failure))
            return
        if found is not NOT_JSON:
            self._whole(found, deltas)
        if self.phase is DecoderPhase.ENDED:
            return
        if self._seen:
            self._end(deltas)
        elif self._beginning.is_json or text.startswith("<") or is_object(found):
            wrong = MalformedResponseError(f"the answer is not one of the {self.protocol}: {text[:200]!r}")
            self._fail(_page() if text.startswith("<") else wrong)

    def _fail(self, error: ProviderError) -> None:
        if self.error is None and self.phase is not DecoderPhase.ENDED:
            self.error = error
        self.phase = DecoderPhase.ENDED


def _page() -> MalformedResponseError:
    return MalformedResponseError(
        "the server answered with a web page instead of an answer; base_url is probably wrong, or a proxy stands in between"
    )


def _too_deep() -> MalformedResponseError:
    return MalformedResponseError("the server sent JSON that is nested too deeply to be an answer")
