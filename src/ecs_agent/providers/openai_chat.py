"""The OpenAI chat protocol's answers, in all dialects that servers speak: bytes in, deltas out, no I/O, nothing raised.

A dialect is understood by rule and never by a vendor's name. The rules, as far as they are this protocol's own:

* An error object counts before anything else in its chunk, wherever it stands; its own type or code decides, not the status 200 before it.
* `choices` may be missing, null or empty; only choice 0 is ours. A last chunk may repeat the whole message, which is not appended.
* Reasoning comes as `reasoning_content`, `reasoning`, `reasoning_details` or `thinking_blocks`; what comes under two names is counted once.
* A finish reason is held back until usage, `[DONE]`, or the end of the body; text that comes after it is still handed out before the final delta.
* Which call a fragment of a tool call belongs to is decided in `openai_chat_calls`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ecs_agent.errors import MalformedResponseError, ProviderError, ServerError, StreamInterruptedError
from ecs_agent.providers.classify import classify_error_object, error_object
from ecs_agent.providers.openai_chat_calls import CallSlots
from ecs_agent.providers.openai_chat_chunk import NOT_JSON, Chunk, Delta, chunk_of, lenient, parsed, plain_chunks
from ecs_agent.providers.openai_chat_fields import FINISH, FINISH_ERRORS, NO_FINISH, Surrogates, finish_words, logprobs_of, texts_of, usage_of
from ecs_agent.providers.openai_chat_parts import Citations, OpaqueFields, holds_opaque, images_of
from ecs_agent.providers.openai_chat_template import TextTemplate
from ecs_agent.streaming.body import BodyBeginning
from ecs_agent.streaming.decoder import DecoderPhase
from ecs_agent.streaming.fold import TextDeltas
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.streaming.sse import Item, Run, SSEDecoder, StrayLine
from ecs_agent.types import FinishReason, Part, StreamDelta, TokenLogprob, Usage

MAX_BODY: Final = 32 * 1024 * 1024
_KEEP_ALIVE: Final = frozenset({"", "ping", "keep-alive", "keepalive", "heartbeat", ": keep-alive", ":keep-alive"})


class ChatDecoder:
    """Decodes one body of status 200, streamed or whole; see `StreamDecoder`.

    Args:
        content_type: of the response; decides whether the body is a stream, one JSON object, or a page that has no business here.
        call_id: makes an id for a call that came without one, from its position.
    """

    __slots__ = (
        "_beginning",
        "_call_id",
        "_calls",
        "_citations",
        "_finish",
        "_in_text",
        "_opaque",
        "_raw_finish",
        "_seen",
        "_sse",
        "_surrogates",
        "_template",
        "_usage",
        "error",
        "phase",
    )

    def __init__(self, content_type: str = "text/event-stream", *, call_id: Callable[[int], str] = "call_{}".format) -> None:
        self.phase = DecoderPhase.OPEN
        self.error: ProviderError | None = None
        self._template = TextTemplate()
        self._sse = SSEDecoder(MAX_BODY, self._recognised)
        self._beginning = BodyBeginning(content_type)
        self._call_id = call_id
        self._surrogates = Surrogates()
        self._calls: CallSlots | None = None  # these three are made when they are needed, as most answers need none
        self._opaque: OpaqueFields | None = None
        self._citations: Citations | None = None
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
                self._whole(self._beginning.whole.decode("utf-8", "replace").strip().removeprefix("\ufeff"), deltas)
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
        if self.error is not None and self._usage is not None:
            deltas.append(StreamDelta(usage=self._usage))
        return deltas

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
        return self._template.texts(blocks) if self._in_text else None

    def _run(self, run: Run, deltas: list[StreamDelta]) -> None:
        """Many events: recognised as texts, or read as texts all at once, as far as that is all they are; else one by one."""
        if self._template.is_given_up and self._said(run, deltas):
            return
        at, end = 0, len(run.lines)
        while at < end and self.phase is not DecoderPhase.ENDED:
            texts, at = self._template.leading(run, at) if self._in_text else (TextDeltas(), at)
            deltas += texts
            if at < end:
                line = run.line_at(at)
                at += len(line) + 1
                if not self._said(Run(line, 1, run.field), deltas):
                    self._event("message", line, deltas)

    def _said(self, run: Run, deltas: list[StreamDelta]) -> bool:
        """Whether a run is new text and nothing else; its deltas are handed out then, and the next events may be recognised by it."""
        chunks = plain_chunks(run) if self._in_text else []
        texts = [text for chunk in chunks if (text := chunk.choices[0].delta.content)]
        if texts:
            self._seen = True
            deltas += [StreamDelta(text) for text in texts]
            self._template.learn(run, chunks[-1].choices[0].delta.content)
        return bool(texts)

    def _event(self, kind: str, data: bytes, deltas: list[StreamDelta]) -> None:
        chunk = chunk_of(data)
        if kind == "error" or chunk is None:
            self._unusual(kind, data.decode("utf-8", "replace").strip(), deltas)
        elif chunk.error is not None or chunk.base_resp is not None or chunk.object == "error" or not chunk.choices:
            failure = error_object(parsed(data.decode("utf-8", "replace")))
            if failure is not None:
                self._fail(classify_error_object(failure))
            else:
                self._chunk(chunk, deltas)
        else:
            self._chunk(chunk, deltas)

    def _unusual(self, kind: str, word: str, deltas: list[StreamDelta]) -> None:
        """What is no chunk of the ordinary shape: the end, a keep-alive, an error, half a surrogate pair, JSON of another shape, or garbage."""
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
            self._chunk(lenient(found), deltas)
        elif found is NOT_JSON and self.phase is DecoderPhase.TAIL:
            self._end(deltas)  # the answer is complete; what comes after it takes nothing away
        elif found is NOT_JSON:
            self._fail(_page() if word.startswith("<") else MalformedResponseError(f"the server sent an event that is not JSON: {word[:200]!r}"))

    def _done(self, deltas: list[StreamDelta]) -> None:
        if not self._seen and self.phase is DecoderPhase.OPEN:
            self._fail(StreamInterruptedError("the server ended the answer before it began"))
        else:
            self._end(deltas)

    def _chunk(self, chunk: Chunk, deltas: list[StreamDelta]) -> None:
        tail = self.phase is DecoderPhase.TAIL
        usage = chunk.usage
        if usage is None and is_object(chunk.x_groq):
            usage = chunk.x_groq.get("usage")
        if chunk.citations is not None or chunk.search_results is not None:
            self._citations = self._citations or Citations()
            self._citations.listed(chunk.citations, chunk.search_results)
        for choice in chunk.choices or ():
            if choice.index not in (0, None, "0", ""):
                continue
            usage = choice.usage if usage is None else usage
            said = choice.delta if choice.delta is not None else choice.message if not self._seen else None
            if said is not None:
                self._delta(said, logprobs_of(choice.logprobs) if choice.logprobs is not None else (), deltas)
            if choice.error:
                self._fail(classify_error_object({"error": choice.error}))
            elif choice.finish_reason and str(choice.finish_reason).lower() not in NO_FINISH:
                self._finished(str(choice.finish_reason))
        if usage is not None and (counted := usage_of(usage)) is not None:
            self._usage = counted
            if tail and not chunk.choices:
                self._end(deltas)

    def _delta(self, delta: Delta, logprobs: tuple[TokenLogprob, ...], deltas: list[StreamDelta]) -> None:
        text, thought = texts_of(delta.content)
        reasoning = delta.reasoning_content or delta.reasoning
        reasoning = reasoning if isinstance(reasoning, str) and reasoning else thought
        if holds_opaque(delta):
            self._opaque = self._opaque or OpaqueFields()
            described = self._opaque.add(delta)
            reasoning = reasoning or described
        refusal = delta.refusal if isinstance(delta.refusal, str) else ""
        whole = self._surrogates.whole
        made = StreamDelta(whole("content", text) or None, reasoning=whole("reasoning", reasoning) or None, refusal=whole("refusal", refusal) or None)
        made.logprobs = logprobs
        if delta.annotations or delta.images:
            made.parts = self._parts(delta)
        fragments = delta.tool_calls or ([{"index": 0, "function": delta.function_call}] if is_object(delta.function_call) else None)
        if fragments:
            self._calls = self._calls if self._calls is not None else CallSlots(self._call_id)
            made.tool_fragments = self._calls.add(fragments)
            if made.tool_fragments:
                made.tool_calls = self._calls.view()
        if made.content or made.reasoning or made.refusal or made.tool_fragments or made.parts or logprobs:
            self._seen = True
            self._in_text = made.content is not None and self.phase is DecoderPhase.OPEN
            deltas.append(made)
        if self._surrogates.active:
            self._in_text = False  # the half that waits comes before what comes next

    def _parts(self, delta: Delta) -> tuple[Part, ...]:
        self._citations = self._citations or Citations()
        return (*images_of(delta.images), *self._citations.annotated(delta.annotations))

    # The end

    def _finished(self, word: str) -> None:
        self._seen = True
        words = finish_words(word)
        if any(reading in FINISH_ERRORS for reading in words):
            self._fail(ServerError(f"the server gave the answer up with {word!r}; asking again may help"))
        elif self.phase is DecoderPhase.OPEN:
            self._finish = next((FINISH[reading] for reading in words if reading in FINISH), None)
            self._raw_finish = word
            self.phase = DecoderPhase.TAIL
            self._in_text = False

    def _end(self, deltas: list[StreamDelta]) -> None:
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
                usage=self._usage,
                parts=(*(self._citations.rest() if self._citations else ()), *(self._opaque.parts() if self._opaque else ())),
                raw_finish_reason=self._raw_finish,
                final=True,
            )
        )
        self.phase = DecoderPhase.ENDED

    def _whole(self, text: str, deltas: list[StreamDelta]) -> None:
        """A body that is no stream: an answer that was not streamed, an error, or a page."""
        found = parsed(text)
        failure = error_object(found)
        if failure is not None:
            self._fail(classify_error_object(failure))
            return
        if is_object(found):
            self._chunk(lenient(found), deltas)
        if self.phase is DecoderPhase.ENDED:
            return
        if self._seen:
            self._end(deltas)
        elif self._beginning.is_json or text.startswith("<") or is_object(found):
            self._fail(_page() if text.startswith("<") else MalformedResponseError(f"the answer is not one of the chat protocol: {text[:200]!r}"))

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
