"""A tool call whose arguments arrive in pieces, each with the path of the value it belongs to.

The Gemini API sends arguments whole. Vertex AI sends them in pieces if it is asked to (`streamFunctionCallArguments`): a call is then a first
part with its name, parts with `partialArgs`, and a last one without `willContinue`
(https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling#streaming-fc).
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any, Final

from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.streaming.text_buffer import TextBuffer
from ecs_agent.types import JsonObject

_STEP: Final = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<place>[0-9]{1,6})\]|\[(?P<quote>['\"])(?P<quoted>.*?)(?P=quote)\]")
_NOTHING: Final = object()
LONGEST_PATH: Final = 1024


def comes_in_pieces(call: JsonObject) -> bool:
    """Whether a part's call is a piece of one, and more pieces may follow."""
    return call.get("willContinue") is True or is_list(call.get("partialArgs"))


class CallInPieces:
    """The call that is arriving.

    Attributes:
        name: of the tool.
        fields: what stands beside name and arguments, to be sent back.
    """

    def __init__(self) -> None:
        self.name = ""
        self.fields: JsonObject = {}
        self._arguments: JsonObject = {}

    def take(self, call: JsonObject) -> None:
        """Take the next piece; a value that is no place of the arguments is left out."""
        whole, pieces = call.get("args"), call.get("partialArgs")
        if is_object(whole):
            self._arguments.update(whole)
        for piece in pieces if is_list(pieces) else ():
            if is_object(piece) and isinstance(path := piece.get("jsonPath"), str) and len(path) <= LONGEST_PATH:
                self._put(_steps(path), _value(piece))

    def text(self, *, whole: bool) -> str:
        """The arguments as JSON; those of a call that was cut off are left open, so that nobody takes them for all."""
        written = json.dumps(_plain(self._arguments), ensure_ascii=False)
        return written if whole else written[:-1]

    def _put(self, steps: list[str | int], value: object) -> None:
        at: Any = self._arguments
        for step, following in pairwise(steps):
            at = _inner(at, step, [] if isinstance(following, int) else {})
        if steps:
            _store(at, steps[-1], value)


def _inner(at: Any, step: str | int, empty: Any) -> Any:
    """What stands there; a new object or list where nothing does."""
    found = _at(at, step)
    if found is _NOTHING:
        _store(at, step, empty)
        return empty
    return found


def _at(at: Any, step: str | int) -> Any:
    if is_object(at) and isinstance(step, str):
        return at.get(step, _NOTHING)
    return at[step] if is_list(at) and isinstance(step, int) and step < len(at) else _NOTHING


def _store(at: Any, step: str | int, value: object) -> None:
    before = _at(at, step)
    if isinstance(value, str) and isinstance(before, TextBuffer):
        before.append(value)
        return
    if isinstance(value, str):
        text = TextBuffer()
        text.append(value)
        value = text
    if value is _NOTHING:
        return  # it only says that the value is complete
    if is_object(at) and isinstance(step, str):
        at[step] = value
    elif is_list(at) and isinstance(step, int):
        at[step : step + 1] = [value]  # a place beyond the end is the end


def _value(piece: JsonObject) -> object:
    if "nullValue" in piece:
        return None
    names = ("stringValue", "numberValue", "boolValue")
    found = next((piece[name] for name in names if isinstance(piece.get(name), str | int | float)), _NOTHING)
    return int(found) if isinstance(found, float) and found.is_integer() else found


def _steps(path: str) -> list[str | int]:
    """A JSONPath of names and places ("$.a.b[0]['c d']") as what it goes through."""
    found = [match.groupdict() for match in _STEP.finditer(path)]
    return [int(step["place"]) if step["place"] is not None else step["name"] or step["quoted"] or "" for step in found]


def _plain(value: Any) -> Any:
    if isinstance(value, TextBuffer):
        return str(value)
    if is_object(value):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if is_list(value) else value
