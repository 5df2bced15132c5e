"""The Gemini protocol's answers (generateContent, streamed or whole): bytes in, deltas out, no I/O, nothing raised.

The rules, as far as they are this protocol's own:

* `candidates` may be missing, null or empty; only candidate 0 is ours. Its parts may be of any mix, and are handed out in their order.
* A part's `thoughtSignature` has to come back on that part: a call keeps it in its `opaque`, after a text, a thought or an image it is an
  `OpaquePart` right behind. Parts that have no neutral form are kept whole.
* `promptFeedback.blockReason` before any output is a refusal; later it is a finish reason.
* Each chunk may count anew; the last count holds. There is no `[DONE]`: after a finish the body ends.
* A body that is a JSON array of chunks (a proxy dropped `alt=sse`) is the same answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from msgspec.structs import asdict

from ecs_agent.errors import ContentFilterError, StreamInterruptedError
from ecs_agent.providers.classify import classify_error_object, error_object
from ecs_agent.providers.gemini_content.calls import CallInPieces, comes_in_pieces
from ecs_agent.providers.gemini_content.chunk import Counts, candidate_of, parts_of, plain_chunks, value_of
from ecs_agent.providers.gemini_content.citations import Sources
from ecs_agent.providers.gemini_content.fields import bytes_of, logprobs_of, text_of, usage_of
from ecs_agent.providers.wire.body_decoder import BodyDecoder
from ecs_agent.providers.wire.finish_words import NO_FINISH
from ecs_agent.streaming.decoder import DecoderPhase
from ecs_agent.streaming.json_edge import is_list, is_object, without_surrogates
from ecs_agent.streaming.sse import Run
from ecs_agent.streaming.text_buffer import TextBuffer
from ecs_agent.types import FilePart, ImagePart, JsonObject, OpaquePart, Part, StreamDelta, Usage

SOURCE = "gemini"
SIGNATURE = "thoughtSignature"
CHARACTERS = "characters"
"""Under this name of an `OpaquePart` stands how many of the last characters before it its signature belongs to."""

_NOT_BLOCKED = NO_FINISH | {"block_reason_unspecified", "blocked_reason_unspecified"}


class GeminiDecoder(BodyDecoder):
    """Decodes one body of the Gemini protocol; see `BodyDecoder`."""

    __slots__ = ("_call", "_counts", "_sources", "_text")

    protocol = "Gemini protocol"

    def __init__(self, content_type: str = "text/event-stream", *, call_id: Callable[[int], str] = "call_{}".format) -> None:
        self._text = TextBuffer()  # for the places of citations, which come last and count from its beginning
        self._call: CallInPieces | None = None  # these two are made when they are needed, as most answers need none
        self._sources: Sources | None = None
        self._counts: Counts | None = None
        super().__init__(content_type, call_id=call_id)

    # Events

    def _texts_of(self, run: Run) -> list[str]:
        chunks = plain_chunks(run)
        texts = [chunk.candidates[0].content.parts[0].text for chunk in chunks]
        self._text.extend(texts)
        for chunk in reversed(chunks):
            if chunk.usageMetadata is not None and chunk.usageMetadata.say_something:
                self._counts = chunk.usageMetadata
                break
        return texts

    def _counted(self) -> Usage | None:
        """The last count; of plain events it is read only here, as each of them counts anew."""
        counts, self._counts = self._counts, None
        if counts is not None:
            self._usage = usage_of(asdict(counts)) or self._usage
        return self._usage

    def _event(self, kind: str, data: bytes, deltas: list[StreamDelta]) -> None:
        found = value_of(data)
        if kind != "error" and is_object(found) and "candidates" in found and not found.get("error"):
            self._chunk(found, deltas)
        else:
            self._unusual(kind, data.decode("utf-8", "replace").strip(), deltas)

    def _object(self, kind: str, found: JsonObject, deltas: list[StreamDelta]) -> None:  # noqa: ARG002
        self._chunk(found, deltas)

    def _chunk(self, found: JsonObject, deltas: list[StreamDelta]) -> None:
        self._prompt(found.get("promptFeedback"))
        ours = candidate_of(found.get("candidates"))
        if ours is not None and self.phase is not DecoderPhase.ENDED:
            self._candidate(ours, deltas)
        if (usage := usage_of(found.get("usageMetadata"))) is not None:
            self._usage, self._counts = usage, None
            if ours is None and self.phase is DecoderPhase.TAIL:
                self._end(deltas)

    def _whole(self, found: Any, deltas: list[StreamDelta]) -> None:
        if is_object(found):
            self._chunk(found, deltas)
            return
        for chunk in found if is_list(found) else ():
            failure = error_object(chunk)
            if failure is not None:
                self._fail(classify_error_object(failure))
            elif is_object(chunk):
                self._chunk(chunk, deltas)
        if self._seen and self.phase is DecoderPhase.OPEN:
            self._fail(StreamInterruptedError("the chunks ended before the answer did; what had arrived is kept as the partial result"))

    def _prompt(self, feedback: Any) -> None:
        reason = feedback.get("blockReason") if is_object(feedback) else None
        if not isinstance(reason, str) or reason.strip().lower() in _NOT_BLOCKED:
            return
        if self._seen:
            self._finished(f"content_filter: {reason}")
        else:
            said = text_of(feedback.get("blockReasonMessage"))
            self._fail(ContentFilterError(f"the provider's filter blocked the prompt ({text_of(reason)}); rephrase it{f': {said}' if said else ''}"))

    def _candidate(self, candidate: JsonObject, deltas: list[StreamDelta]) -> None:
        for part in parts_of(candidate):
            self._part(part, deltas)
        if (logprobs := candidate.get("logprobsResult")) is not None:
            self._say(deltas, logprobs=logprobs_of(logprobs))
        if candidate.get("groundingMetadata") or candidate.get("citationMetadata"):
            self._sources = self._sources or Sources()
            self._sources.add(candidate)
        word = candidate.get("finishReason")
        if isinstance(word, str) and word.strip().lower() not in NO_FINISH:
            self._call_ends(deltas, whole=False)
            self._finished(word)

    # Parts

    def _part(self, part: JsonObject, deltas: list[StreamDelta]) -> None:
        read = next((read for name, read in self._PARTS.items() if part.get(name) is not None), GeminiDecoder._other_part)
        read(self, part, deltas)

    def _text_part(self, part: JsonObject, deltas: list[StreamDelta]) -> None:
        found = part.get("text")
        text = found if isinstance(found, str) else ""
        thought = part.get("thought") is True
        parts: tuple[Part, ...] = ()
        if signature := text_of(part.get(SIGNATURE)):
            kept = {SIGNATURE: signature, CHARACTERS: len(text_of(text))}
            parts = (OpaquePart(SOURCE, {**kept, "thought": True} if thought else kept),)
        if thought:
            self._say(deltas, reasoning=text, parts=parts)
        else:
            self._text.append(text)
            self._say(deltas, content=text, parts=parts)

    def _call_part(self, part: JsonObject, deltas: list[StreamDelta]) -> None:
        call = part["functionCall"]
        if not is_object(call):
            return
        fields = {name: without_surrogates(value) for name, value in part.items() if name != "functionCall" and value is not None}
        if call_id := text_of(call.get("id")):
            fields["id"] = call_id
        name = text_of(call.get("name"))
        if name:
            self._call_ends(deltas, whole=False)
        if self._call is not None or comes_in_pieces(call):
            self._call = self._call or CallInPieces()
            self._call.name = self._call.name or name
            self._call.fields |= fields
            self._call.take(call)
            if call.get("willContinue") is not True:
                self._call_ends(deltas, whole=True)
        elif name or call.get("args"):
            self._call_begins(name, _arguments(call.get("args")), fields, deltas)

    def _call_ends(self, deltas: list[StreamDelta], *, whole: bool) -> None:
        """The call in pieces, if there is one, gets no more of them; only the server can say that it is whole."""
        call, self._call = self._call, None
        if call is not None:
            self._call_begins(call.name, call.text(whole=whole), call.fields, deltas)

    def _call_begins(self, name: str, arguments: str, fields: JsonObject, deltas: list[StreamDelta]) -> None:
        call_id = fields.get("id") or self._call_id(len(self.calls))  # at once: a call is whole, and may be all that arrives
        opaque = {SOURCE: fields} if fields.keys() - {"id"} else None  # an id alone is the call's own
        fragment = self.calls.begin(call_id, name, arguments, opaque)
        self._say(deltas, fragments=(fragment,))

    def _media_part(self, part: JsonObject, deltas: list[StreamDelta]) -> None:
        media = part["inlineData"]
        data, kind = (bytes_of(media.get("data")), text_of(media.get("mimeType"))) if is_object(media) else (None, "")
        if data is None or not kind or part.get("thought"):  # an image that was only thought of is not shown
            self._other_part(part, deltas)
            return
        shown: Part = ImagePart(data=data, media_type=kind) if kind.startswith("image/") else FilePart(data=data, media_type=kind)
        signature = text_of(part.get(SIGNATURE))
        self._say(deltas, parts=(shown, OpaquePart(SOURCE, {SIGNATURE: signature})) if signature else (shown,))

    def _other_part(self, part: JsonObject, deltas: list[StreamDelta]) -> None:
        if part.keys() <= {SIGNATURE, "thought", "text"}:
            self._text_part(part, deltas)
        else:
            self._say(deltas, parts=(OpaquePart(SOURCE, without_surrogates(part)),))

    _PARTS: ClassVar[Mapping[str, Callable[..., None]]] = {
        "text": _text_part,
        "functionCall": _call_part,
        "inlineData": _media_part,
    }

    # The end

    def _last_parts(self) -> tuple[Part, ...]:
        return self._sources.parts(without_surrogates(str(self._text))) if self._sources is not None else ()


def _arguments(found: Any) -> str:
    if found is None:
        return "{}"
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
