"""A JSON object that is arriving, read into partial instances of a pydantic model. Pure.

A value is open until its JSON is complete: a text, a list and an object until their last character, a number or a word (true, null) until something
follows it. What closes is validated by itself, once, as the field of the model says, and so is all that it holds, when that closes; the model's own
validators count when an object is complete. The root is validated by whoever has the whole text.

The text is scanned once. A value costs its length once for each level of the model above it, since each is validated when it closes; showing
costs one copy of what is open: the texts, lists and objects on the path to the end of the text.
"""

from __future__ import annotations

import json
import re
from io import SEEK_END, StringIO
from typing import TYPE_CHECKING, Any, Final

from ecs_agent.providers.structured.parsing import problems_of
from ecs_agent.providers.structured.partial_shape import Fields, Shape, Variants, partial_of
from ecs_agent.streaming.json_edge import without_surrogates

if TYPE_CHECKING:
    from pydantic import BaseModel

_HEAD: Final = re.compile(r"(?:```[a-zA-Z0-9]*[ \t]*\r?\n\s*)?(?=\{)")
_HEAD_BEGUN: Final = re.compile(r"(?:`{0,2}|```[a-zA-Z0-9]*[ \t]*\r?(?:\n\s*)?)")
_END: Final = re.compile(r"`{0,3}\s*")
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_WORD: Final = re.compile(r"[-+.0-9a-zA-Z]+")
_LOW: Final = r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HIGH: Final = r"\\u[dD][89abAB][0-9a-fA-F]{2}"
_UNITS: Final = re.compile(rf'(?:[^"\\]+|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{{4}}|{_HIGH}{_LOW})*+')
_ESCAPE_BEGUN: Final = re.compile(rf"\\(?:u[0-9a-fA-F]{{0,3}})?|{_HIGH}(?:\\(?:u[0-9a-fA-F]{{0,3}})?)?")
"""An escape whose rest is still to come."""
_ABSENT: Final = object()


class UnfitError(ValueError):
    """What has arrived cannot become the object any more; `problems` says why."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _Frame:
    """An object or a list that is open, and the place in it where the text stands."""

    __slots__ = ("fields", "is_list", "item", "items", "key", "name", "place", "shape", "start", "state", "values")

    def __init__(self, start: int, shape: Shape | None, *, is_list: bool) -> None:
        self.start = start
        self.shape = shape  # by which it is validated itself, when it closes
        self.is_list = is_list
        self.fields: Fields | None = shape.fields if shape is not None and not is_list else None
        self.item: Shape | None = shape.items if shape is not None and is_list else None
        self.values: dict[str, Any] = {}
        self.items: list[Any] = []
        self.state = "first"
        self.key = ""
        self.name = ""
        self.place: Shape | None = self.item  # of the value that comes

    def look_up(self, key: str) -> None:
        """The key of the next value has come."""
        found = self.fields.at(key) if self.fields is not None else None
        self.key = key
        self.name, self.place = found if found is not None else (key, None)

    def shown(self, inner: object) -> object:
        """What it holds, and the open value in it."""
        if self.is_list:
            return _ABSENT if self.item is None else self.items.copy() if inner is _ABSENT else [*self.items, inner]
        if self.fields is None:
            return _ABSENT
        made = self.fields.shown(self.values if inner is _ABSENT else {**self.values, self.name: inner})
        return _ABSENT if made is None else made


class _OpenText:
    """A text, or a key, that has not ended."""

    __slots__ = ("is_key", "pieces", "shown", "start")

    def __init__(self, start: int, *, is_key: bool, shown: bool) -> None:
        self.start = start
        self.is_key = is_key
        self.shown = shown
        self.pieces: list[str] = []


class PartialObject:
    """Reads the text of a model's JSON piece by piece.

    Args:
        model: the class of the object.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        self._fields = partial_of(model)
        self._text = StringIO()
        self._tail = ""  # what has arrived and is not scanned: it begins what is not complete
        self._at = 0  # where the tail begins
        self._root: _Frame | None = None
        self._stack: list[_Frame] = []
        self._open: _OpenText | None = None
        self._changed = False

    def feed(self, text: str) -> bool:
        """Take the next piece; whether there is something new to show.

        Raises:
            UnfitError: this is no JSON object, or a value in it does not fit.
        """
        self._text.seek(0, SEEK_END)
        text = without_surrogates(text)
        self._text.write(text)
        tail, self._changed = self._tail + text, False
        base, at = self._at, 0
        while (then := self._step(tail, at, base)) is not None:
            at = then
        self._tail, self._at = tail[at:], base + at
        return self._changed

    def shown(self) -> Any:
        """The object as far as it has arrived, None before its first character. A new one at each call."""
        inner: object = _ABSENT
        if self._open is not None and self._open.shown:
            inner = text = "".join(self._open.pieces)
            self._open.pieces = [text]
        for frame in reversed(self._stack or ([self._root] if self._root is not None else [])):
            inner = frame.shown(inner)
        return None if inner is _ABSENT else inner

    def _step(self, text: str, at: int, base: int) -> int | None:
        """Scan the next token; the position behind it, None when it is not complete."""
        if self._open is not None:
            return self._through_text(self._open, text, at, base)
        begin, at = at, _end_of(_SPACE, text, at)
        if at == len(text):
            return at if at > begin else None
        if not self._stack:
            return self._outside(text, at, base)
        frame = self._stack[-1]
        if frame.state in ("first", "value") and not (frame.state == "first" and text[at] == "]"):
            return self._value(frame, text, at, base) if frame.is_list or frame.state == "value" else self._key(frame, text, at, base)
        if frame.state == "key":
            return self._key(frame, text, at, base)
        if text[at] == ":" and frame.state == "colon":
            frame.state = "value"
        elif text[at] == "," and frame.state == "end":
            frame.state = "value" if frame.is_list else "key"
        elif text[at] == ("]" if frame.is_list else "}") and frame.state in ("first", "end"):
            self._close(base + at + 1)
        else:
            raise self._no_json()
        return at + 1

    def _outside(self, text: str, at: int, base: int) -> int | None:
        """Before the object, or behind it."""
        if self._root is not None:
            if _END.fullmatch(text, at) is None:
                raise UnfitError(["there is text behind the JSON object; give the object alone"])
            return None
        head = _HEAD.match(text, at)
        if head is None:
            if _HEAD_BEGUN.fullmatch(text, at) is None:
                raise UnfitError(["it is no JSON object; give the object alone, without other text"])
            return None
        self._root = _Frame(base + head.end(), None, is_list=False)
        self._root.fields = self._fields
        self._push(self._root)
        return head.end() + 1

    def _key(self, frame: _Frame, text: str, at: int, base: int) -> int:
        if text[at] == "}" and frame.state == "first":
            self._close(base + at + 1)
        elif text[at] == '"':
            self._open = _OpenText(base + at, is_key=True, shown=False)
        else:
            raise self._no_json()
        return at + 1

    def _value(self, frame: _Frame, text: str, at: int, base: int) -> int | None:
        shape, char = frame.place, text[at]
        if char in "{[":
            if isinstance(frame.fields, Variants):
                frame.fields = None  # its discriminator does not come first
            self._push(_Frame(base + at, shape, is_list=char == "["))
            return at + 1
        if char == '"':
            self._open = _OpenText(base + at, is_key=False, shown=shape is not None and shape.is_text)
            self._changed |= self._open.shown
            return at + 1
        end = _end_of(_WORD, text, at)
        if end == len(text):
            return None
        if end == at:
            raise self._no_json()
        self._closed(frame, base + at, base + end)
        return end

    def _through_text(self, open_: _OpenText, text: str, at: int, base: int) -> int | None:
        end = _end_of(_UNITS, text, at)
        if end > at:
            raw = text[at:end]
            open_.pieces.append(json.loads(f'"{raw}"', strict=False) if "\\" in raw else raw)
            self._changed |= open_.shown
            return end
        if at == len(text) or (text[at] == "\\" and _ESCAPE_BEGUN.fullmatch(text, at) is not None):
            return None
        if text[at] == "\\":
            raise self._no_json()
        self._open, frame = None, self._stack[-1]
        if open_.is_key:
            frame.look_up("".join(open_.pieces))
            frame.state = "colon"
        else:
            self._closed(frame, open_.start, base + at + 1, "".join(open_.pieces) if open_.shown else _ABSENT)
        return at + 1

    def _push(self, frame: _Frame) -> None:
        self._stack.append(frame)
        self._changed |= frame.shown(_ABSENT) is not _ABSENT

    def _close(self, end: int) -> None:
        """The innermost object or list is complete."""
        frame = self._stack.pop()
        if self._stack:
            self._closed(self._stack[-1], frame.start, end, frame.shown(_ABSENT))

    def _closed(self, frame: _Frame, start: int, end: int, before: object = _ABSENT) -> None:
        """A value in a frame is complete, of which `before` was shown."""
        frame.state = "end"
        if isinstance(frame.fields, Variants):
            frame.fields = frame.fields.chosen(frame.key, self._scalar(start, end))
            frame.look_up(frame.key)
        if frame.place is None:
            return
        from pydantic import ValidationError  # noqa: PLC0415 - heavy

        try:
            value = frame.place.value(self._between(start, end))
        except ValidationError as error:
            if error.errors(include_url=False, include_context=False, include_input=False)[0]["type"] == "json_invalid":
                raise self._no_json() from None
            raise UnfitError(problems_of(error, self._path(), skip=1)) from None
        if frame.is_list:
            frame.items.append(value)
        else:
            frame.values[frame.name] = value
        self._changed |= before is _ABSENT or before != value

    def _scalar(self, start: int, end: int) -> object:
        try:
            return json.loads(self._between(start, end))
        except ValueError:
            raise self._no_json() from None

    def _between(self, start: int, end: int) -> str:
        self._text.seek(start)
        return self._text.read(end - start)

    def _path(self) -> tuple[str | int, ...]:
        return tuple([len(frame.items) if frame.is_list else frame.key for frame in self._stack])

    def _no_json(self) -> UnfitError:
        path = "".join([f"[{step}]" if isinstance(step, int) else f".{step}" for step in self._path()]).lstrip(".")
        return UnfitError([f"it is not valid JSON{f' at {path}' if path else ''}"])


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    """The position behind what a pattern finds there."""
    found = pattern.match(text, at)
    return at if found is None else found.end()
