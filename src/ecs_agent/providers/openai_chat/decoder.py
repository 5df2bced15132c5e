"""The OpenAI chat protocol's answers, in all dialects that servers speak: bytes in, deltas out, no I/O, nothing raised.

A dialect is understood by rule and never by a vendor's name. The rules, as far as they are this protocol's own:

* `choices` may be missing, null or empty; only choice 0 is ours. A last chunk may repeat the whole message, which is not appended.
* Reasoning comes as `reasoning_content`, `reasoning`, `reasoning_details` or `thinking_blocks`; what comes under two names is counted once.
* Text that comes after the finish reason is still handed out before the final delta.
* Which call a fragment of a tool call belongs to is decided in `calls`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ecs_agent.providers.classify import classify_error_object, error_object
from ecs_agent.providers.openai_chat.calls import CallSlots
from ecs_agent.providers.openai_chat.chunk import Chunk, Delta, chunk_of, lenient, plain_chunks
from ecs_agent.providers.openai_chat.fields import logprobs_of, texts_of, usage_of
from ecs_agent.providers.openai_chat.parts import Citations, OpaqueFields, holds_opaque, images_of
from ecs_agent.providers.wire.body_decoder import BodyDecoder
from ecs_agent.providers.wire.finish_words import NO_FINISH
from ecs_agent.streaming.decoder import DecoderPhase
from ecs_agent.streaming.json_edge import is_object, parsed
from ecs_agent.streaming.sse import Run
from ecs_agent.types import JsonObject, Part, StreamDelta, TokenLogprob, ToolCallFragment


class ChatDecoder(BodyDecoder):
    """Decodes one body of the chat protocol; see `BodyDecoder`."""

    __slots__ = ("_citations", "_opaque", "_slots")

    protocol = "chat protocol"
    text_field = re.compile(rb'"content"\s*:\s*"')

    def __init__(self, content_type: str = "text/event-stream", *, call_id: Callable[[int], str] = "call_{}".format) -> None:
        self._slots: CallSlots | None = None  # these three are made when they are needed, as most answers need none
        self._opaque: OpaqueFields | None = None
        self._citations: Citations | None = None
        super().__init__(content_type, call_id=call_id)

    def _texts_of(self, run: Run) -> list[str]:
        return [chunk.choices[0].delta.content for chunk in plain_chunks(run)]

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

    def _object(self, kind: str, found: JsonObject, deltas: list[StreamDelta]) -> None:  # noqa: ARG002
        self._chunk(lenient(found), deltas)

    def _whole(self, found: Any, deltas: list[StreamDelta]) -> None:
        if is_object(found):
            self._chunk(lenient(found), deltas)

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
        self._say(
            deltas,
            content=text,
            reasoning=reasoning,
            refusal=delta.refusal if isinstance(delta.refusal, str) else "",
            fragments=self._fragments(delta),
            parts=self._parts(delta) if delta.annotations or delta.images else (),
            logprobs=logprobs,
        )

    def _fragments(self, delta: Delta) -> tuple[ToolCallFragment, ...]:
        pieces = delta.tool_calls or ([{"index": 0, "function": delta.function_call}] if is_object(delta.function_call) else None)
        if not pieces:
            return ()
        self._slots = self._slots or CallSlots(self.calls)
        return self._slots.add(pieces)

    def _parts(self, delta: Delta) -> tuple[Part, ...]:
        self._citations = self._citations or Citations()
        return (*images_of(delta.images), *self._citations.annotated(delta.annotations))

    def _last_parts(self) -> tuple[Part, ...]:
        return (*(self._citations.rest() if self._citations else ()), *(self._opaque.parts() if self._opaque else ()))
