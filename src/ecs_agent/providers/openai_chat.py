"""The OpenAI chat protocol's answers, in all dialects that servers speak: bytes in, deltas out, no I/O, nothing raised.

A dialect is understood by rule and never by a vendor's name. The rules, as far as they are this protocol's own:

* An error object counts before anything else in its chunk, wherever it stands; its own type or code decides, not the status 200 before it.
* `choices` may be missing, null or empty; only choice 0 is ours. A last chunk may repeat the whole message, which is not appended.
* Reasoning comes as `reasoning_content`, `reasoning` or `reasoning_details`; what comes under two names is counted once.
* A finish reason is held back until usage, `[DONE]`, or the end of the body; text that comes after it is still handed out before the final delta.
* Which call a fragment of a tool call belongs to is decided in `openai_chat_calls`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec

from ecs_agent.errors import MalformedResponseError, ProviderError, ServerError, StreamInterruptedError
from ecs_agent.providers.classify import classify_error_object, error_object
from ecs_agent.providers.openai_chat_calls import CallSlots
from ecs_agent.providers.openai_chat_fields import FINISH, FINISH_ERRORS, OpaqueDetails, Surrogates, texts_of, usage_of
from ecs_agent.streaming.decoder import DecoderPhase
from ecs_agent.streaming.json_edge import is_list, is_object, without_surrogates
from ecs_agent.streaming.sse import ServerSentEvent, SSEDecoder
from ecs_agent.types import FinishReason, JsonObject, OpaquePart, StreamDelta, Usage

SOURCE: Final = "openai-chat"
MAX_BODY: Final = 32 * 1024 * 1024
_KEEP_ALIVE: Final = frozenset({"", "ping", "keep-alive", "keepalive", "heartbeat", ": keep-alive", ":keep-alive"})


class _Delta(msgspec.Struct, gc=False):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None


class _Choice(msgspec.Struct, gc=False):
    index: Any = 0
    delta: _Delta | None = None
    finish_reason: Any = None
    message: _Delta | None = None
    usage: Any = None


class _Chunk(msgspec.Struct, gc=False):
    """The fields we read; msgspec skips all others without building them. Values are Any, since servers put anything anywhere."""

    choices: list[_Choice] | None = None
    usage: Any = None
    x_groq: Any = None
    error: Any = None
    base_resp: Any = None
    object: Any = None
    message: Any = None
    detail: Any = None


_CHUNK: Final = msgspec.json.Decoder(_Chunk)


class ChatDecoder:
    """Decodes one body of status 200, streamed or whole; see `StreamDecoder`.

    Args:
        content_type: of the response; decides whether the body is a stream, one JSON object, or a page that has no business here.
        call_id: makes an id for a call that came without one, from its position.
    """

    def __init__(self, content_type: str = "text/event-stream", *, call_id: Callable[[int], str] = "call_{}".format) -> None:
        self.phase = DecoderPhase.OPEN
        self.error: ProviderError | None = None
        kind = content_type.partition(";")[0].strip().lower()
        self._sse = SSEDecoder(MAX_BODY)
        self._body = bytearray() if kind.endswith("json") else None
        self._calls = CallSlots(call_id)
        self._surrogates = Surrogates()
        self._details = OpaqueDetails()
        self._finish: FinishReason | None = None
        self._raw_finish: str | None = None
        self._usage: Usage | None = None
        self._seen = False
        self._strays = 0
        if kind == "text/html":
            self._fail(_page())

    # Bytes

    def feed(self, data: bytes) -> list[StreamDelta]:
        """Take the next bytes of the body."""
        deltas: list[StreamDelta] = []
        if self.phase is DecoderPhase.ENDED:
            return deltas
        if self._body is not None:
            self._body += data
            if len(self._body) > MAX_BODY:
                self._fail(MalformedResponseError(f"the answer is larger than {MAX_BODY} bytes; it was given up"))
            return deltas
        try:
            events = self._sse.feed(data)
        except MalformedResponseError as error:
            self._fail(error)
            return deltas
        self._take(events, deltas)
        return deltas

    def eof(self) -> list[StreamDelta]:
        """The body ended cleanly."""
        deltas: list[StreamDelta] = []
        if self.phase is DecoderPhase.ENDED:
            return deltas
        if self._body is not None:
            self._whole(bytes(self._body), deltas)
            return deltas
        try:
            self._take(self._sse.flush(), deltas)
        except MalformedResponseError as error:
            self._fail(error)
        if self.phase is DecoderPhase.OPEN and not self._seen and self._sse.stray:
            self._mislabelled("\n".join(self._sse.stray).strip(), deltas)
        self._over(deltas, "the body ended before the answer did")
        return deltas

    def cut(self) -> list[StreamDelta]:
        """The connection was lost, or the tail took too long."""
        deltas: list[StreamDelta] = []
        self._over(deltas, "the connection was lost in the middle of the answer")
        return deltas

    def _over(self, deltas: list[StreamDelta], what: str) -> None:
        if self.phase is DecoderPhase.TAIL:
            self._end(deltas)
        elif self.phase is DecoderPhase.OPEN:
            self._fail(StreamInterruptedError(f"{what}; what had arrived is kept as the partial result"))

    def _take(self, events: list[ServerSentEvent], deltas: list[StreamDelta]) -> None:
        for event in events:
            self._event(event, deltas)
            if self.phase is DecoderPhase.ENDED:
                return
        for line in self._sse.stray[self._strays :]:
            self._strays += 1
            self._stray(line)

    def _mislabelled(self, text: str, deltas: list[StreamDelta]) -> None:
        """A body that calls itself a stream and is none: one JSON object, or a page."""
        if text.startswith("<") or is_object(_parsed(text)):
            self._whole(text.encode(errors="replace"), deltas)

    def _stray(self, line: str) -> None:
        """A line that is no field: a server that fails often writes its error so, bare or as a field of its own."""
        name, colon, value = line.partition(":")
        found = _parsed(value if colon and name.strip() == "error" else line)
        failure = error_object(found) if not (colon and name.strip() == "error") else found
        if failure is not None and found is not None:
            self._fail(classify_error_object(failure))

    # Events

    def _event(self, event: ServerSentEvent, deltas: list[StreamDelta]) -> None:
        data = event.data
        try:
            chunk = _CHUNK.decode(data)
        except (msgspec.MsgspecError, UnicodeEncodeError):
            self._unusual(event, deltas)
            return
        if event.event == "error":
            self._fail(classify_error_object(_parsed(data)))
        elif chunk.error is not None or chunk.base_resp is not None or chunk.object == "error" or not chunk.choices:
            self._rare(chunk, _parsed(data), deltas)
        else:
            self._chunk(chunk, deltas)

    def _unusual(self, event: ServerSentEvent, deltas: list[StreamDelta]) -> None:
        """What is no chunk of the ordinary shape: the end, a keep-alive, half a surrogate pair, JSON of another shape, or garbage."""
        word = event.data.strip()
        if word == "[DONE]":
            self._done(deltas)
        elif word.lower() in _KEEP_ALIVE:
            return
        else:
            found = _parsed(word)
            if event.event == "error" or error_object(found) is not None:
                self._fail(classify_error_object(error_object(found) or found or word))
            elif is_object(found):
                self._chunk(_lenient(found), deltas, plain=False)
            elif found is _NOTHING:
                self._fail(_page() if word.startswith("<") else MalformedResponseError(f"the server sent an event that is not JSON: {word[:200]!r}"))

    def _rare(self, chunk: _Chunk, found: Any, deltas: list[StreamDelta]) -> None:
        failure = error_object(found)
        if failure is not None:
            self._fail(classify_error_object(failure))
        else:
            self._chunk(chunk, deltas)

    def _done(self, deltas: list[StreamDelta]) -> None:
        if not self._seen and self.phase is DecoderPhase.OPEN:
            self._fail(StreamInterruptedError("the server ended the answer before it began"))
        else:
            self._end(deltas)

    def _chunk(self, chunk: _Chunk, deltas: list[StreamDelta], *, plain: bool = True) -> None:
        """Take a chunk; `plain` says that its texts cannot hold half surrogate pairs."""
        tail = self.phase is DecoderPhase.TAIL
        usage = chunk.usage
        if usage is None and chunk.x_groq is not None:
            usage = chunk.x_groq.get("usage") if is_object(chunk.x_groq) else None
        for choice in chunk.choices or ():
            if choice.index not in (0, None):
                continue
            usage = choice.usage if usage is None else usage
            if choice.delta is not None:
                self._delta(choice.delta, deltas, plain)
            elif choice.message is not None and not self._seen:
                self._delta(choice.message, deltas, plain)
            if choice.finish_reason not in (None, ""):
                self._finished(str(choice.finish_reason))
        if usage is not None and (counted := usage_of(usage)) is not None:
            self._usage = counted
            self._seen = True
            if tail and not chunk.choices:
                self._end(deltas)

    def _delta(self, delta: _Delta, deltas: list[StreamDelta], plain: bool) -> None:
        content, refusal = delta.content, delta.refusal
        reasoning = delta.reasoning_content or delta.reasoning
        if (
            plain
            and type(content) is str
            and not (reasoning or refusal or delta.tool_calls or delta.reasoning_details or delta.function_call or self._surrogates.active)
        ):
            if content:
                self._seen = True
                deltas.append(StreamDelta(content))
            return
        text, thought = texts_of(content)
        reasoning = reasoning if isinstance(reasoning, str) and reasoning else thought
        if delta.reasoning_details is not None:
            described = self._details.add(delta.reasoning_details)
            reasoning = reasoning or described
        made = StreamDelta(
            content=self._surrogates.whole("content", text) or None,
            reasoning=self._surrogates.whole("reasoning", reasoning) or None,
            refusal=self._surrogates.whole("refusal", refusal if isinstance(refusal, str) else "") or None,
        )
        fragments = delta.tool_calls
        if fragments is None and is_object(delta.function_call):
            fragments = [{"index": 0, "function": delta.function_call}]
        if fragments:
            fragments = fragments if plain else without_surrogates(fragments)
            made.tool_fragments = self._calls.add(fragments)
            made.tool_calls = self._calls.view()
        if made.content or made.reasoning or made.refusal or made.tool_fragments:
            self._seen = True
            deltas.append(made)

    # The end

    def _finished(self, word: str) -> None:
        self._seen = True
        if word.lower() in FINISH_ERRORS:
            self._fail(ServerError(f"the server gave the answer up with {word!r}; asking again may help"))
        elif self.phase is DecoderPhase.OPEN:
            self._finish, self._raw_finish = FINISH.get(word.lower()), word
            self.phase = DecoderPhase.TAIL

    def _end(self, deltas: list[StreamDelta]) -> None:
        finish = "tool_calls" if self._finish == "stop" and len(self._calls) else self._finish
        left = self._surrogates.rest()
        opaque = self._details.data()
        deltas.append(
            StreamDelta(
                content=left.get("content"),
                reasoning=left.get("reasoning"),
                tool_calls=self._calls.final(finish),
                finish_reason=finish,
                usage=self._usage,
                parts=(OpaquePart(SOURCE, opaque),) if opaque else (),
                raw_finish_reason=self._raw_finish,
                final=True,
            )
        )
        self.phase = DecoderPhase.ENDED

    def _whole(self, body: bytes, deltas: list[StreamDelta]) -> None:
        """A body that is one JSON object: an answer that was not streamed, or an error."""
        text = body.decode("utf-8", "replace").strip().removeprefix("\ufeff")
        found = _parsed(text)
        failure = error_object(found)
        if failure is not None:
            self._fail(classify_error_object(failure))
            return
        if is_object(found):
            self._chunk(_lenient(found), deltas, plain=False)
        if not self._seen or not is_object(found):
            self._fail(_page() if text.startswith("<") else MalformedResponseError(f"the answer is not one of the chat protocol: {text[:200]!r}"))
        elif self.phase is not DecoderPhase.ENDED:
            self._end(deltas)

    def _fail(self, error: ProviderError) -> None:
        if self.error is None and self.phase is not DecoderPhase.ENDED:
            self.error = error
        self.phase = DecoderPhase.ENDED


_NOTHING: Final = object()


def _parsed(text: str) -> Any:
    """Any JSON value; `_NOTHING` for what is none. Keeps half surrogate pairs, which the fast decoder refuses."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NOTHING


def _lenient(found: JsonObject) -> _Chunk:
    """A chunk from JSON of any shape: what does not fit is as if it were not there."""
    choices = found.get("choices")
    made = [_lenient_choice(choice) for choice in choices if is_object(choice)] if is_list(choices) else None
    return _Chunk(choices=made, usage=found.get("usage"), x_groq=found.get("x_groq"))


def _lenient_choice(choice: JsonObject) -> _Choice:
    delta, message = (
        {name: value for name, value in part.items() if name in _Delta.__struct_fields__} if is_object(part) else None
        for part in (choice.get("delta"), choice.get("message"))
    )
    return _Choice(
        choice.get("index", 0),
        None if delta is None else _Delta(**delta),
        choice.get("finish_reason"),
        None if message is None else _Delta(**message),
        choice.get("usage"),
    )


def _page() -> MalformedResponseError:
    return MalformedResponseError(
        "the server answered with a web page instead of an answer; base_url is probably wrong, or a proxy stands in between"
    )
