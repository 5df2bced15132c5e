"""The OpenAI Responses protocol's answers: bytes in, deltas out, no I/O, nothing raised.

An answer is a list of items, each of which is added, told in deltas, and done. The rules, as far as they are this protocol's own:

* Events are told apart by the `type` in their JSON. An event whose `sequence_number` is not beyond the last one was already read.
* What comes in deltas is not told again when a `done`, an item or the final response repeats it; what comes only there is told from there, once.
* An item is found by its id, else by its place; servers that change either between two events, or leave both out, are still understood.
* A call is answered by its `call_id`. Other items that are no text (reasoning, tools that the server runs, whatever is new) are kept as they are,
  in order, to be sent back.
* Only the final response says how the answer ended: "incomplete" has a reason and is never "stop".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from ecs_agent.errors import StreamInterruptedError
from ecs_agent.providers.classify import classify_error_object
from ecs_agent.providers.openai_chat.fields import logprobs_of
from ecs_agent.providers.openai_responses.events import TEXT, UNNUMBERED, Event, Key, PlainText, event_of, key_of, lenient, plain_texts
from ecs_agent.providers.openai_responses.items import (
    RESPONSE,
    SOURCE,
    OutputItem,
    arguments_of,
    call_extras,
    citation_of,
    image_parts,
    objects_in,
    place_of,
    text_of,
    thoughts_in,
    usage_in,
)
from ecs_agent.providers.wire.body_decoder import BodyDecoder
from ecs_agent.streaming.decoder import DecoderPhase
from ecs_agent.streaming.json_edge import is_list, is_object, without_surrogates
from ecs_agent.streaming.sse import Run
from ecs_agent.types import JsonObject, OpaquePart, Part, StreamDelta

_ENDS: Final = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
    "response.done": "",
}
_STATUSES: Final = frozenset(_ENDS.values()) - {""}


class ResponsesDecoder(BodyDecoder):
    """Decodes one body of the Responses protocol; see `BodyDecoder`.

    Args:
        content_type: of the response.
        call_id: makes an id for a call that came without one, from its position.
        after: what tells the conversation that the response answers; with it the response's id is kept, so that the next request can name it.
    """

    __slots__ = ("_after", "_items", "_length", "_number", "_reasoned", "_refused", "_response_id", "_thought")

    protocol = "Responses protocol"

    def __init__(
        self, content_type: str = "text/event-stream", *, call_id: Callable[[int], str] = "call_{}".format, after: str | None = None
    ) -> None:
        self._after = after
        self._items: dict[Key, OutputItem] = {}
        self._number = UNNUMBERED
        self._length = 0  # of the message's text
        self._refused = False
        self._thought = False
        self._reasoned = False
        self._response_id = ""
        super().__init__(content_type, call_id=call_id)

    # Events

    def _texts_of(self, run: Run) -> list[str]:
        events = plain_texts(run, self._number) if run.type in (TEXT, "message") else []
        if not events:
            return []
        first, last = events[0], events[-1]
        texts = [event.delta for event in events]
        if any(texts):
            self._of(first, "message").streamed.add("content")
        if last.sequence_number is not None:
            self._number = last.sequence_number
        self._length += len("".join(texts))
        return texts

    def _event(self, kind: str, data: bytes, deltas: list[StreamDelta]) -> None:
        event = event_of(data)
        if event is None or event.error is not None or "error" in (kind, event.type, event.object) or (kind, event.type) == ("message", None):
            self._unusual(kind, data.decode("utf-8", "replace").strip(), deltas)
        else:
            self._typed(event.type if isinstance(event.type, str) else kind, event, deltas)

    def _object(self, kind: str, found: JsonObject, deltas: list[StreamDelta]) -> None:
        event = lenient(found)
        name = event.type if isinstance(event.type, str) else kind
        if name == "message":
            self._whole(found, deltas)
        else:
            self._typed(name, event, deltas)

    def _whole(self, found: Any, deltas: list[StreamDelta]) -> None:
        if is_object(found) and (found.get("object") == "response" or is_list(found.get("output"))):
            self._answered(without_surrogates(found), "", deltas)

    def _typed(self, name: str, event: Event, deltas: list[StreamDelta]) -> None:
        number, ends = event.number, name in _ENDS
        if number is not None and number <= self._number and not ends:
            return
        if number is not None:
            self._number = max(self._number, number)
        if ends:
            self._answered(event.response if is_object(event.response) else {}, _ENDS[name], deltas)
        elif name in self._HANDLERS:
            self._HANDLERS[name](self, event, deltas)

    # Items

    def _of(self, event: Event | PlainText, kind: str) -> OutputItem:
        return self._item(event.item_id, event.output_index, kind)

    def _item(self, item_id: Any, output_index: Any, kind: str) -> OutputItem:
        """The item that an event is about; one that was never added is begun."""
        name, place = key_of(item_id, None), key_of(None, output_index)
        found = self._items.get(name) if name is not None else None
        if found is not None:
            return found
        if name is None or place is not None:  # a place tells it as well; with neither it is the last one
            found = self._items.get(place)
        if found is not None and found.kind == kind and not found.done:
            return found
        return self._begin(OutputItem(kind, base=self._length), item_id, output_index)

    def _begin(self, item: OutputItem, item_id: Any, output_index: Any) -> OutputItem:
        for key in (key_of(item_id, None), key_of(None, output_index), None):
            self._items[key] = item
        return item

    def _added(self, event: Event, deltas: list[StreamDelta]) -> None:
        if not is_object(event.item):
            return
        found, kind = event.item, text_of(event.item.get("type"))
        known = self._items.get(key_of(found.get("id"), None)) if text_of(found.get("id")) else None
        if known is not None and (known.kind, known.call_id) == (kind, text_of(found.get("call_id"))):
            return  # sent again, by a server that does not number its events
        item = self._begin(OutputItem(kind, base=self._length), found.get("id"), event.output_index)
        if kind == "function_call":
            self._call(item, found, "", deltas)
        elif kind == "message":
            self._phase(item, found, deltas)

    def _phase(self, item: OutputItem, found: JsonObject, deltas: list[StreamDelta]) -> None:
        """The phase of a message, which has to go back with it, stands before its text."""
        if isinstance(phase := found.get("phase"), str) and item.misses("content") and item.misses("phase"):
            item.streamed.add("phase")
            self._say(deltas, parts=(OpaquePart(SOURCE, {"type": "message", "phase": phase}),))

    def _item_done(self, event: Event, deltas: list[StreamDelta]) -> None:
        if is_object(event.item):
            self._done_with(event.item, event.output_index, deltas)

    def _done_with(self, found: JsonObject, output_index: Any, deltas: list[StreamDelta]) -> None:
        kind = text_of(found.get("type"))
        if not kind:
            return
        call_id = found.get("call_id")
        known = self._items.get(call_id) if isinstance(call_id, str) and call_id else None
        item = known if known is not None and known.kind == kind else self._item(found.get("id"), output_index, kind)
        if item.done:
            return
        item.done = True
        if kind == "message":
            self._phase(item, found, deltas)
            for place, part in enumerate(objects_in(found.get("content"))):
                self._part(item, place, part, deltas)
        elif kind == "function_call":
            self._call(item, found, arguments_of(found.get("arguments")), deltas)
        elif kind == "reasoning":
            for channel, place, text in thoughts_in(found):
                self._think_whole(item, channel, place, text, deltas)
            self._reasoned = True
            self._say(deltas, parts=(OpaquePart(SOURCE, found),))
        else:
            self._say(deltas, parts=image_parts(found) if kind == "image_generation_call" else (OpaquePart(SOURCE, found),))

    # Texts

    def _text_delta(self, event: Event, deltas: list[StreamDelta]) -> None:
        item, text = self._of(event, "message"), text_of(event.delta)
        if text:
            item.streamed.add("content")
        self._text(text, event.logprobs, deltas)

    def _text(self, text: str, logprobs: Any, deltas: list[StreamDelta]) -> None:
        self._length += len(text)
        self._say(deltas, content=text, logprobs=logprobs_of({"content": logprobs}))

    def _text_done(self, event: Event, deltas: list[StreamDelta]) -> None:
        part = {"type": "output_text", "text": event.text, "logprobs": event.logprobs}
        self._part(self._of(event, "message"), place_of(event.content_index), part, deltas)

    def _refusal_delta(self, event: Event, deltas: list[StreamDelta]) -> None:
        item, text = self._of(event, "message"), text_of(event.delta)
        if text:
            item.streamed.add("refusal")
        self._refuse(text, deltas)

    def _refuse(self, text: str, deltas: list[StreamDelta]) -> None:
        self._refused = self._refused or bool(text)
        self._say(deltas, refusal=text)

    def _refusal_done(self, event: Event, deltas: list[StreamDelta]) -> None:
        part = {"type": "refusal", "refusal": event.refusal}
        self._part(self._of(event, "message"), place_of(event.content_index), part, deltas)

    def _part_added(self, event: Event, _: list[StreamDelta]) -> None:
        """A further part of a message begins: positions in it count from here."""
        if is_object(event.part) and event.part.get("type") == "output_text":
            self._of(event, "message").base = self._length

    def _part_done(self, event: Event, deltas: list[StreamDelta]) -> None:
        if not is_object(event.part):
            return
        if event.part.get("type") == "reasoning_text":
            item = self._of(event, "reasoning")
            self._think_whole(item, "reasoning", 0, text_of(event.part.get("text")), deltas)
        else:
            self._part(self._of(event, "message"), place_of(event.content_index), event.part, deltas)

    def _part(self, item: OutputItem, place: int, part: JsonObject, deltas: list[StreamDelta]) -> None:
        """A part of a message that is told whole: its text if no delta told it, and the citations that are new."""
        channel = {"output_text": "content", "text": "content", "refusal": "refusal"}.get(text_of(part.get("type")))
        text = text_of(part.get("refusal" if channel == "refusal" else "text"))
        if channel and text and item.misses(channel, place):
            item.told.add((channel, place))
            if channel == "content":
                item.base = self._length
                self._text(text, part.get("logprobs"), deltas)
            else:
                self._refuse(text, deltas)
        for found in objects_in(part.get("annotations")):
            self._cite(item, found, deltas)

    def _annotation(self, event: Event, deltas: list[StreamDelta]) -> None:
        if is_object(event.annotation):
            self._cite(self._of(event, "message"), event.annotation, deltas)

    def _cite(self, item: OutputItem, found: JsonObject, deltas: list[StreamDelta]) -> None:
        said = repr([found.get(name) for name in ("type", "url", "file_id", "start_index", "end_index", "index")])
        if said not in item.cited:
            item.cited.add(said)
            self._say(deltas, parts=(citation_of(found, item.base),))

    # Thoughts

    def _summary_delta(self, event: Event, deltas: list[StreamDelta]) -> None:
        item, place, text = self._of(event, "reasoning"), place_of(event.summary_index), text_of(event.delta)
        if text:
            item.told.add(("summary", place))
        self._think(item, "summary", place, text, deltas)

    def _summary_done(self, event: Event, deltas: list[StreamDelta]) -> None:
        text = text_of(event.part.get("text")) if is_object(event.part) else text_of(event.text)
        item = self._of(event, "reasoning")
        self._think_whole(item, "summary", place_of(event.summary_index), text, deltas)

    def _thought_delta(self, event: Event, deltas: list[StreamDelta]) -> None:
        item, text = self._of(event, "reasoning"), text_of(event.delta)
        if text:
            item.streamed.add("reasoning")
        self._think(item, "reasoning", 0, text, deltas)

    def _thought_done(self, event: Event, deltas: list[StreamDelta]) -> None:
        self._think_whole(self._of(event, "reasoning"), "reasoning", 0, text_of(event.text), deltas)

    def _think_whole(self, item: OutputItem, channel: str, place: int, text: str, deltas: list[StreamDelta]) -> None:
        if text and item.misses(channel, place):
            item.told.add((channel, place))
            self._think(item, channel, place, text, deltas)

    def _think(self, item: OutputItem, channel: str, place: int, text: str, deltas: list[StreamDelta]) -> None:
        """Thoughts of an item: its summaries or the thoughts themselves, whichever come first. A blank line stands between two of them."""
        if not text or item.thought not in ("", channel):
            return
        begins = not item.thought or place != item.summary
        item.thought, item.summary = channel, place
        gap = "\n\n" if begins and self._thought else ""
        self._thought = True
        self._say(deltas, reasoning=gap + text)

    # Calls

    def _arguments_delta(self, event: Event, deltas: list[StreamDelta]) -> None:
        item = self._of(event, "function_call")
        self._call(item, {}, text_of(event.delta), deltas, piece=True)

    def _arguments_done(self, event: Event, deltas: list[StreamDelta]) -> None:
        self._call(self._of(event, "function_call"), {}, arguments_of(event.arguments), deltas)

    def _call(self, item: OutputItem, found: JsonObject, arguments: str, deltas: list[StreamDelta], *, piece: bool = False) -> None:
        """What an event adds to a call. Arguments that are no piece count only while none came."""
        arguments = arguments if piece or item.misses("arguments") else ""
        call_id = text_of(found.get("call_id")) if not item.call_id else ""
        name = text_of(found.get("name")) if not item.name else ""
        extras = call_extras(found)
        if arguments:
            item.streamed.add("arguments")
        if call_id:
            item.call_id = call_id
            self._items[call_id] = item
        item.name = item.name or name
        if item.number is None:
            item.number = len(self.calls)
            self._say(deltas, fragments=(self.calls.begin(call_id, name, arguments, extras),))
        elif arguments or call_id or name or extras:
            self._say(deltas, fragments=(self.calls.add(item.number, arguments, call_id=call_id, name=name, opaque=extras),))

    # The end

    def _answered(self, response: JsonObject, word: str, deltas: list[StreamDelta]) -> None:
        """The final response: what of its output was not told, how it ended, and what it cost."""
        status = response.get("status")
        word = status if isinstance(status, str) and (status in _STATUSES or not word) else word
        self._usage = usage_in(response) or self._usage
        if word == "failed":
            self._fail(classify_error_object(response.get("error") or {"code": "server_error", "message": "the server did not say why it failed"}))
        elif word and word not in _STATUSES:
            self._fail(StreamInterruptedError(f"the server handed out an answer that is not finished (its status is {word[:40]!r}); ask again"))
        elif word == "cancelled":
            self._fail(StreamInterruptedError("the answer was cancelled at the server; what had arrived is kept as the partial result"))
        else:
            self._complete(response, word, deltas)

    def _complete(self, response: JsonObject, word: str, deltas: list[StreamDelta]) -> None:
        for place, found in enumerate(objects_in(response.get("output"))):
            if not self._is_told(found):
                self._done_with(found, place, deltas)
        self._response_id = text_of(response.get("id"))
        if word == "incomplete":
            details = response.get("incomplete_details")
            word = text_of(details.get("reason")) if is_object(details) else ""
            word = word or "incomplete"
        if word:
            self._finished(word)
        if self.phase is not DecoderPhase.ENDED:
            self._end(deltas)

    def _is_told(self, found: JsonObject) -> bool:
        """Whether the stream has already told an item of the final response, in which servers write other ids than before."""
        match found.get("type"):
            case "message":
                return bool(self._length) or self._refused
            case "reasoning":
                return self._reasoned
            case kind:  # one that has a name is found by it
                named = text_of(found.get("id")) or text_of(found.get("call_id"))
                return not named and any(item.done for item in self._items.values() if item.kind == kind)

    def _last_parts(self) -> tuple[Part, ...]:
        if self._after is None or not self._response_id:
            return ()
        return (OpaquePart(SOURCE, {"type": RESPONSE, "id": self._response_id, "after": self._after}),)

    _HANDLERS: ClassVar[dict[str, Callable[[ResponsesDecoder, Event, list[StreamDelta]], None]]] = {
        "response.output_item.added": _added,
        "response.output_item.done": _item_done,
        "response.content_part.added": _part_added,
        "response.content_part.done": _part_done,
        TEXT: _text_delta,
        "response.output_text.done": _text_done,
        "response.output_text.annotation.added": _annotation,
        "response.refusal.delta": _refusal_delta,
        "response.refusal.done": _refusal_done,
        "response.reasoning_summary_text.delta": _summary_delta,
        "response.reasoning_summary_text.done": _summary_done,
        "response.reasoning_summary_part.done": _summary_done,
        "response.reasoning_text.delta": _thought_delta,
        "response.reasoning_text.done": _thought_done,
        "response.function_call_arguments.delta": _arguments_delta,
        "response.function_call_arguments.done": _arguments_done,
    }
    """What an event of a type does; all others (progress, built-in tools at work, what is new) say nothing that their items do not."""
