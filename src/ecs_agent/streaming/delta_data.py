"""The deltas of an answer as JSON data, and back without loss: what journals and recordings hold of a stream.

A run of plain text, nearly all there is, is one object: `{"text": "Hello you", "lengths": [5, 4]}`; `lengths`, in characters, are left out of a
single delta. A run of reasoning is `{"reasoning": "hm, yes", "lengths": [3, 4]}`. Every other delta is an object of its own, with the fields that
are not as a delta begins.

The calls that a delta holds are all calls so far, so that writing them would cost the square of their text. `tool_calls` is the number of
fragments, counted back from this delta's last one, that say what they are; or the calls themselves where fragments do not say it: as an array
if they are a tuple, and as `{"list": […]}` if they are a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, TypeAlias, get_args

from ecs_agent.streaming.fold import TextDeltas
from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.streaming.message_data import part_from_data, part_to_data, tool_call_from_data, tool_call_to_data, usage_from_data, usage_to_data
from ecs_agent.streaming.record_data import BYTES, FLAG, NUMBER, OBJECT, TEXT, WHOLE, Form, Record, many, one_of
from ecs_agent.streaming.tool_calls import ToolCallLog
from ecs_agent.types import FinishReason, JsonObject, StreamDelta, TokenLogprob, ToolCall, ToolCallFragment

_FRAGMENT: Final[Record[ToolCallFragment]] = Record(ToolCallFragment, index=WHOLE, id=TEXT, name=TEXT, arguments=TEXT, opaque=OBJECT)


def _logprob_to_data(value: Any) -> JsonObject:
    return _LOGPROB.write(value)


def _logprob_from_data(data: Any) -> TokenLogprob:
    return _LOGPROB.read(data)


def _as_it_is(value: Any) -> Any:
    return value


_LOGPROBS: Final = many(Form(_logprob_to_data, _logprob_from_data))  # by name, since each holds others of its kind
_LOGPROB: Final[Record[TokenLogprob]] = Record(TokenLogprob, token=TEXT, logprob=NUMBER, utf8=BYTES, top=_LOGPROBS)
_CALLS: Final = Form(_as_it_is, _as_it_is)  # they are written and read by what came before them
_DELTA: Final[Record[StreamDelta]] = Record(
    StreamDelta,
    content=TEXT,
    tool_calls=_CALLS,
    finish_reason=one_of(*get_args(FinishReason)),
    usage=Form(usage_to_data, usage_from_data),
    reasoning=TEXT,
    refusal=TEXT,
    tool_fragments=many(Form(_FRAGMENT.write, _FRAGMENT.read)),
    parts=many(Form(part_to_data, part_from_data)),
    raw_finish_reason=TEXT,
    final=FLAG,
    logprobs=_LOGPROBS,
)

_content: Final = attrgetter("content")
_reasoning: Final = attrgetter("reasoning")
_rest: Final = attrgetter("tool_calls", "finish_reason", "usage", "refusal", "tool_fragments", "parts", "raw_finish_reason", "final", "logprobs")
_NOTHING_ELSE: Final[tuple[object, ...]] = _rest(StreamDelta())


def deltas_to_data(deltas: Iterable[StreamDelta]) -> list[JsonObject]:
    """The data of the deltas of one answer, from its beginning on; a later piece of it is for the `DeltaWriter` of the earlier ones.

    Raises:
        TypeError: one holds what it cannot; the message is a sentence.
    """
    return DeltaWriter().write(deltas)


class DeltaWriter:
    """Writes the deltas of one attempt, piece by piece. What it writes is read back the same by any reader that has read all before it."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls = _WrittenCalls()

    def write(self, deltas: Iterable[StreamDelta]) -> list[JsonObject]:
        """The data of the next deltas; it may have fewer entries than there are deltas.

        Raises:
            TypeError: one holds what it cannot; the message is a sentence.
        """
        if type(deltas) is TextDeltas and set(map(type, texts := list(map(_content, deltas)))) == {str}:
            return [_run("text", texts)]
        data: list[JsonObject] = []
        for kind, run in groupby(deltas, _kind):
            if kind == "text":
                data.append(_run(kind, list(map(_content, run))))
            elif kind == "reasoning":
                data.append(_run(kind, list(map(_reasoning, run))))
            else:
                data += map(self.write_one, run)
        return data

    def write_one(self, delta: StreamDelta) -> JsonObject:
        """The data of the next delta, by itself."""
        data = _DELTA.write(delta)
        counted = self._calls.count(delta)
        if "tool_calls" in data:
            data["tool_calls"] = _calls_to_data(data["tool_calls"]) if counted is None else counted
        return data


class DeltaReader:
    """Reads what a `DeltaWriter` wrote of one attempt, in order, piece by piece.

    Args:
        before: deltas of the attempt that came before what is read, as those that stand in a snapshot.
    """

    __slots__ = ("_calls",)

    def __init__(self, before: Iterable[StreamDelta] = ()) -> None:
        self._calls = _ReadCalls()
        for delta in before:
            self._calls.take(delta.tool_fragments)

    def read(self, data: Any) -> list[StreamDelta]:
        """The deltas of the next piece.

        Raises:
            ValueError: it is no such data; the message is a sentence.
        """
        if not is_list(data):
            raise ValueError(f"deltas are a {type(data).__name__}, not a list")
        deltas: list[StreamDelta] = []
        for entry in data:
            if is_object(entry) and "text" in entry:
                deltas += map(StreamDelta, _texts("text", entry))
            elif is_object(entry) and "lengths" in entry:
                deltas += [StreamDelta(reasoning=text) for text in _texts("reasoning", entry)]
            else:
                deltas.append(self.read_one(entry))
        return deltas

    def read_one(self, data: Any) -> StreamDelta:
        """The delta of such data that stands for one delta."""
        if is_object(data) and "text" in data:
            (text,) = _texts("text", data, most=1)
            return StreamDelta(text)
        delta = _DELTA.read(data)
        self._calls.take(delta.tool_fragments)
        if delta.tool_calls is not None:
            delta.tool_calls = self._calls.read(delta.tool_calls)
        return delta


def is_text(delta: StreamDelta) -> bool:
    """Whether a delta is text and nothing else, as nearly all are."""
    return type(delta.content) is str and delta.reasoning is None and _rest(delta) == _NOTHING_ELSE


def _kind(delta: StreamDelta) -> str:
    """Of which run a delta can be a part: it has one text and nothing else."""
    if is_text(delta):
        return "text"
    return "reasoning" if delta.content is None and type(delta.reasoning) is str and _rest(delta) == _NOTHING_ELSE else ""


def _run(kind: str, texts: list[str]) -> JsonObject:
    return {kind: texts[0]} if len(texts) == 1 else {kind: "".join(texts), "lengths": list(map(len, texts))}


def _texts(kind: str, data: JsonObject, most: int | None = None) -> list[str]:
    text = data.get(kind)
    if type(text) is not str or data.keys() - {kind, "lengths"}:
        raise ValueError(f"a run of texts is not {{{kind}, lengths}}")
    if "lengths" not in data:
        return [text]
    lengths = data["lengths"]
    if not is_list(lengths) or not all(type(length) is int and length >= 0 for length in lengths) or sum(lengths) != len(text):
        raise ValueError("a run of texts has lengths that are not those of its texts")
    if most is not None and len(lengths) != most:
        raise ValueError(f"a run has {len(lengths)} texts where {most} was expected")
    texts: list[str] = []
    at = 0
    for length in lengths:
        texts.append(text[at : at + length])
        at += length
    return texts


_VIEW: Final[type] = type(ToolCallLog().view())
_ViewState: TypeAlias = tuple[list[ToolCallFragment], int, list[ToolCallFragment], int]
_view_state: Final[Callable[[Any], _ViewState]] = attrgetter("_joined", "_joined_length", "_recent", "_recent_length")


class _WrittenCalls:
    """Knows of a delta's calls whether they are what the fragments written so far say, at a cost of the new fragments.

    Views of one log share its lists of fragments. So one that is known to be right, and then another with the same lists, prove that this one
    is right by what came in between. Only where that is not so are all fragments compared, or the calls.
    """

    __slots__ = ("_fragments", "_known", "_since")

    def __init__(self) -> None:
        self._fragments: list[ToolCallFragment] = []
        self._known: _ViewState | None = None
        self._since = 0

    def count(self, delta: StreamDelta) -> int | None:
        """How many fragments say what this delta's calls are; None when they do not say it."""
        calls = delta.tool_calls
        self._fragments += delta.tool_fragments
        if type(calls) is not _VIEW:
            return None
        state = _view_state(calls)
        if self._follows(state) or self._is_told(state):
            self._known, self._since = state, len(self._fragments)
        elif not _was_read(state) or calls != self._view():
            return None
        return len(self._fragments)

    def _follows(self, state: _ViewState) -> bool:
        if self._known is None:
            return False
        joined, joined_length, recent, length = state
        known_joined, known_joined_length, known_recent, known_length = self._known
        if joined is not known_joined:
            return False
        between = recent[known_length:length]
        if recent is not known_recent:  # it was full, so its fragments went to `joined`, one for each call; was that so once?
            if joined_length - known_joined_length != len({fragment.index for fragment in known_recent}):
                return False
            between = [*known_recent[known_length:], *recent[:length]]
        return between == self._fragments[self._since :]

    def _is_told(self, state: _ViewState) -> bool:
        joined, joined_length, recent, length = state
        return not _was_read(state) and _told([*joined[:joined_length], *recent[:length]]) == _told(self._fragments)

    def _view(self) -> Sequence[ToolCall]:
        log = ToolCallLog()
        for fragment in self._fragments:
            log.append(fragment)
        return log.view()


def _was_read(state: _ViewState) -> bool:
    """Whether a view no longer has its fragments, but the calls that they said."""
    joined, joined_length, recent, length = state
    return len(joined) < joined_length or len(recent) < length


def _told(fragments: Iterable[ToolCallFragment]) -> dict[int, list[Any]]:
    """What fragments say of each call: its id, its name, the text of its arguments, its opaque data."""
    pieces: dict[int, tuple[list[str], list[str], list[str], list[JsonObject]]] = {}
    for fragment in fragments:
        ids, names, arguments, opaque = pieces.setdefault(fragment.index, ([], [], [], []))
        ids += [fragment.id] if fragment.id and not ids else []
        names += [fragment.name] if fragment.name else []
        arguments.append(fragment.arguments)
        opaque += [fragment.opaque] if fragment.opaque is not None else []
    return {
        index: [ids, "".join(names), "".join(arguments), {key: value for each in opaque for key, value in each.items()} if opaque else None]
        for index, (ids, names, arguments, opaque) in pieces.items()
    }


class _ReadCalls:
    """Makes the calls of deltas out of the fragments read so far."""

    __slots__ = ("_fragments", "_log", "_logged")

    def __init__(self) -> None:
        self._fragments: list[ToolCallFragment] = []
        self._log = ToolCallLog()
        self._logged: int = 0

    def take(self, fragments: Iterable[ToolCallFragment]) -> None:
        """Take the fragments of the next delta."""
        for fragment in fragments:
            self._fragments.append(fragment)
            self._log.append(fragment)
            self._logged += 1

    def read(self, data: Any) -> Sequence[ToolCall]:
        """The calls of the delta whose fragments were taken last."""
        if is_list(data):
            return tuple([tool_call_from_data(call) for call in data])
        if is_object(data):
            if data.keys() != {"list"} or not is_list(data["list"]):
                raise ValueError("StreamDelta.tool_calls is an object, and not {list: […]}")
            return [tool_call_from_data(call) for call in data["list"]]
        if type(data) is not int or not 0 <= data <= len(self._fragments):
            raise ValueError(f"StreamDelta.tool_calls is {data!r}, where {len(self._fragments)} fragments were read")
        if data != self._logged:  # written by somebody who had not seen the earlier ones
            self._log = ToolCallLog()
            self._logged = int(data)
            for fragment in self._fragments[len(self._fragments) - data :]:
                self._log.append(fragment)
        return self._log.view()


def _calls_to_data(calls: Any) -> Any:
    written = [tool_call_to_data(call) for call in calls]
    return {"list": written} if isinstance(calls, list) else written
