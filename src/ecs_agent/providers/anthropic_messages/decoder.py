"""The answers of Anthropic's Messages protocol: bytes in, deltas out, no I/O, nothing raised.

A server's dialect is understood by rule and never by its name. The rules, as far as they are this protocol's own:

* An answer is a sequence of blocks: text, thoughts, calls; of a type that is not known here, one is kept whole and in order, for its server alone.
* A block may begin with its contents, or have them come in pieces, or both; of a tool's input the pieces count.
* A thought's signature is said right behind the thought, a text's citations right behind the text, with the place of the text that they are of.
* The stop reason ends the answer but for its tail; `message_stop` ends that. Usage is a total wherever it stands, and its last value counts; what
  the first event tells is told with the others, since its count of the answer is a guess, and no answer may come.
* Events and deltas that are not known say nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from operator import eq
from typing import Any, ClassVar, TypeAlias

from ecs_agent.providers.anthropic_messages.blocks import LOOSE_END, Block, citations_in
from ecs_agent.providers.anthropic_messages.events import Delta, Event, event_of, lenient, plain_texts
from ecs_agent.providers.anthropic_messages.fields import Tally
from ecs_agent.providers.wire.body_decoder import BodyDecoder
from ecs_agent.providers.wire.finish_words import NO_FINISH
from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.streaming.sse import Run
from ecs_agent.types import JsonObject, StreamDelta

_TakesEvent: TypeAlias = "Callable[[MessagesDecoder, Event, list[StreamDelta]], None]"
_TakesDelta: TypeAlias = "Callable[[MessagesDecoder, Block | None, Delta, list[StreamDelta]], None]"


class MessagesDecoder(BodyDecoder):
    """Decodes one body of the Messages protocol; see `BodyDecoder`.

    Args:
        content_type: of the response.
        call_id: makes an id for a call that came without one, from its position.
        unsent: the blanks at the end of the text that the answer goes on with, which were not sent; what of them the answer begins with is no news.
    """

    __slots__ = ("_loose", "_open", "_said_before", "_tally", "_unsent")

    protocol = "Messages protocol"

    def __init__(self, content_type: str = "text/event-stream", *, call_id: Callable[[int], str] = "call_{}".format, unsent: str = "") -> None:
        self._unsent = unsent
        self._open: dict[int, Block] = {}
        self._loose = False  # whether the last thoughts have no end of their own
        self._said_before = 0  # characters of text that earlier calls handed out
        self._tally = Tally()
        super().__init__(content_type, call_id=call_id)

    def feed(self, data: bytes) -> list[StreamDelta]:
        """Take the next bytes of the body."""
        deltas = super().feed(data)
        self._said_before += _length(deltas)
        return deltas

    def _texts_of(self, run: Run) -> list[str]:
        return [] if self._unsent else plain_texts(run)

    def _event(self, kind: str, data: bytes, deltas: list[StreamDelta]) -> None:
        event = event_of(data)
        takes = None if event is None or event.error is not None or kind == "error" else self._takes(event, kind)
        if event is not None and takes is not None:
            takes(self, event, deltas)
        else:
            self._unusual(kind, data.decode("utf-8", "replace").strip(), deltas)

    def _object(self, kind: str, found: JsonObject, deltas: list[StreamDelta]) -> None:
        event = lenient(found)
        takes = self._takes(event, kind)
        if takes is not None:
            takes(self, event, deltas)

    def _takes(self, event: Event, kind: str) -> _TakesEvent | None:
        return self._EVENTS.get(event.type if isinstance(event.type, str) else kind)

    def _whole(self, found: Any, deltas: list[StreamDelta]) -> None:
        if is_object(found):
            self._message(found, deltas)
            self._stop_reason(found.get("stop_reason"))

    # Events

    def _message(self, found: JsonObject, deltas: list[StreamDelta]) -> None:
        """Take a message, whole or as far as it has come."""
        self._tally.take(found.get("usage"))
        content = found.get("content")
        for block in content if is_list(content) else ():
            self._begin(-1, block, deltas)
            self._stop(-1, deltas)

    def _on_message_start(self, event: Event, deltas: list[StreamDelta]) -> None:
        if is_object(event.message):
            self._message(event.message, deltas)

    def _on_block_start(self, event: Event, deltas: list[StreamDelta]) -> None:
        self._begin(_index(event.index, len(self._open)), event.content_block, deltas)

    def _on_block_delta(self, event: Event, deltas: list[StreamDelta]) -> None:
        takes = self._DELTAS.get(event.delta.type) if event.delta is not None and isinstance(event.delta.type, str) else None
        if event.delta is not None and takes is not None:
            takes(self, self._open.get(_index(event.index, next(reversed(self._open), -1))), event.delta, deltas)

    def _on_block_stop(self, event: Event, deltas: list[StreamDelta]) -> None:
        self._stop(_index(event.index, next(reversed(self._open), -1)), deltas)

    def _on_message_delta(self, event: Event, deltas: list[StreamDelta]) -> None:  # noqa: ARG002 - it says nothing of its own
        self._tally.take(event.usage)
        self._usage = self._tally.usage()
        if event.delta is not None:
            self._stop_reason(event.delta.stop_reason)

    def _on_message_stop(self, event: Event, deltas: list[StreamDelta]) -> None:  # noqa: ARG002 - nothing in it is read
        self._done(deltas)

    def _on_ping(self, event: Event, deltas: list[StreamDelta]) -> None:
        """It says that the server is there."""

    _EVENTS: ClassVar[dict[str, _TakesEvent]] = {
        "message_start": _on_message_start,
        "content_block_start": _on_block_start,
        "content_block_delta": _on_block_delta,
        "content_block_stop": _on_block_stop,
        "message_delta": _on_message_delta,
        "message_stop": _on_message_stop,
        "ping": _on_ping,
    }

    def _stop_reason(self, word: Any) -> None:
        if isinstance(word, str) and word.lower() not in NO_FINISH:
            self._finished(word)

    # Blocks

    def _begin(self, index: int, found: Any, deltas: list[StreamDelta]) -> None:
        if not is_object(found):
            return
        self._stop(index, deltas)
        for other in [other for other, block in self._open.items() if block.kind in ("text", "thinking")]:
            self._stop(other, deltas)
        kind = found.get("type")
        block = Block(kind if isinstance(kind, str) else "", found, self._said_so_far(deltas))
        self._open[index] = block
        match block.kind:
            case "text":
                self._say(deltas, content=self._news(_text(found.get("text"))))
                block.citations = [cited for cited in citations_in(found) if is_object(cited)]
            case "thinking":
                self._think(block, _text(found.get("thinking")), deltas)
                block.signature = _text(found.get("signature"))
            case "tool_use":
                opaque = block.call_extras()
                fragment = self.calls.begin(_text(found.get("id")) or None, _text(found.get("name")) or None, opaque=opaque)
                block.call = fragment.index
                self._say(deltas, fragments=(fragment,))
            case _:
                pass  # it is kept until it is whole

    def _stop(self, index: int, deltas: list[StreamDelta]) -> None:
        block = self._open.pop(index, None)
        if block is None:
            return
        if block.call is not None and (rest := block.rest_of_input()):
            self._say(deltas, fragments=(self.calls.add(block.call, rest),))
        if self._surrogates.active:  # what would be whole only after this block never will be
            self._say(deltas, reasoning=self._surrogates.rest_of("reasoning"), content=self._surrogates.rest_of("content"))
        self._loose = self._loose or block.is_loose
        parts = block.parts(self._said_so_far(deltas))
        if parts:
            self._loose = False
            self._say(deltas, parts=parts)

    def _end(self, deltas: list[StreamDelta]) -> None:
        for index in list(self._open):
            self._stop(index, deltas)
        self._usage = self._tally.usage()
        super()._end(deltas)

    def _said_so_far(self, deltas: list[StreamDelta]) -> int:
        """How many characters of text were said before this place."""
        return self._said_before + _length(deltas)

    def _news(self, text: str) -> str:
        """A text without the blanks that stand before it already."""
        same = len(list(takewhile(bool, map(eq, self._unsent, text))))
        self._unsent = self._unsent[same:] if same == len(text) else ""
        return text[same:]

    def _think(self, block: Block, thoughts: str, deltas: list[StreamDelta]) -> None:
        if thoughts and self._loose and not block.has_thoughts:
            self._loose = False
            self._say(deltas, parts=(LOOSE_END,))
        block.has_thoughts = block.has_thoughts or bool(thoughts)
        self._say(deltas, reasoning=thoughts)

    # Deltas

    def _on_text(self, block: Block | None, delta: Delta, deltas: list[StreamDelta]) -> None:  # noqa: ARG002 - text is text in every block
        self._say(deltas, content=self._news(_text(delta.text)))

    def _on_thinking(self, block: Block | None, delta: Delta, deltas: list[StreamDelta]) -> None:
        self._think(block or Block("thinking", {}), _text(delta.thinking), deltas)

    def _on_signature(self, block: Block | None, delta: Delta, deltas: list[StreamDelta]) -> None:  # noqa: ARG002 - it is said at the end
        if block is not None and block.kind == "thinking":
            block.signature = _text(delta.signature) or block.signature

    def _on_input(self, block: Block | None, delta: Delta, deltas: list[StreamDelta]) -> None:
        piece = _text(delta.partial_json)
        if block is None or not piece:
            return
        block.input.append(piece)
        if block.call is not None:
            self._say(deltas, fragments=(self.calls.add(block.call, piece),))

    def _on_citation(self, block: Block | None, delta: Delta, deltas: list[StreamDelta]) -> None:  # noqa: ARG002 - they are said at the end
        if block is not None:
            block.cite(delta.citation)

    def _on_compaction(self, block: Block | None, delta: Delta, deltas: list[StreamDelta]) -> None:  # noqa: ARG002 - it is said at the end
        if block is not None:
            told = {"content": delta.content, "encrypted_content": delta.encrypted_content}
            block.fields = block.fields | {name: value for name, value in told.items() if value is not None}

    _DELTAS: ClassVar[dict[str, _TakesDelta]] = {
        "text_delta": _on_text,
        "thinking_delta": _on_thinking,
        "signature_delta": _on_signature,
        "input_json_delta": _on_input,
        "citations_delta": _on_citation,
        "compaction_delta": _on_compaction,
    }


def _length(deltas: list[StreamDelta]) -> int:
    return sum([len(delta.content) for delta in deltas if delta.content])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _index(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise
