"""The JSON of tool arguments: read strictly when it is complete, as far as it goes while it arrives, and told apart without parsing."""

from __future__ import annotations

import math
import re
from typing import Any, Final

import jiter

from ecs_agent.streaming.json_edge import is_list, is_object, without_surrogates
from ecs_agent.types import JsonObject

_JSON_NAMES: Final = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number", type(None): "null"}


def parse_object(text: str) -> JsonObject:
    """The JSON object that `text` is.

    Stricter than `json.loads`: NaN and numbers beyond a double, a key given twice and nesting deeper than 200 are refused, because tools, stores
    and other providers would each read them in their own way. Half a surrogate pair, which no encoding can carry, is U+FFFD.

    Raises:
        ValueError: it is anything else; the message says what, as the rest of a sentence that begins with "they".
    """
    if _MAY_HOLD_HALVES.search(text):
        text = _ESCAPES.sub(_whole_escape, without_surrogates(text))
    try:
        value = jiter.from_json(text.encode(), allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        raise ValueError(f"are not valid JSON: {error}") from None
    if not is_object(value):
        raise ValueError(f"are {_JSON_NAMES[type(value)]}")
    if _has_infinity(value):
        raise ValueError("hold a number that is too large")
    return value


_MAY_HOLD_HALVES: Final = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_PAIR: Final = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPES: Final = re.compile(_PAIR + r"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL)


def _whole_escape(found: re.Match[str]) -> str:
    return "\\ufffd" if found["half"] else found[0]


def parse_partial(text: str) -> JsonObject:
    """The object as far as it can be read from an unfinished text, an unfinished string at its end included; {} when nothing can."""
    try:
        value = jiter.from_json(without_surrogates(text).encode(), partial_mode="trailing-strings", allow_inf_nan=False)
    except ValueError:
        return {}
    return value if is_object(value) else {}


def _has_infinity(value: Any) -> bool:
    """The parser reads 1e999 as infinity, which no JSON can say; without recursion, as the depth is the sender's choice."""
    left = [value]
    while left:
        value = left.pop()
        if is_object(value):
            left.extend(value.values())
        elif is_list(value):
            left.extend(value)
        elif isinstance(value, float) and math.isinf(value):
            return True
    return False


class BracketCounter:
    """Follows a JSON text piece by piece and knows when its outermost bracket has closed, at a cost linear in the text.

    It does not validate: `{'a'}` closes too. What it says for sure is that nothing which is added now can still belong to that value.
    """

    __slots__ = ("_depth", "_escaped", "_in_string", "closed")

    _OUTSIDE: Final = re.compile(r'[{}\[\]"]')
    _INSIDE: Final = re.compile(r'["\\]')

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self.closed = False

    def feed(self, text: str) -> None:
        """Take the next piece."""
        at, end = 0, len(text)
        while at < end and not self.closed:
            if self._in_string:
                at = self._through_string(text, at)
                continue
            found = self._OUTSIDE.search(text, at)
            if found is None:
                return
            at = found.end()
            self._bracket(text[at - 1])

    def _through_string(self, text: str, at: int) -> int:
        """The position behind the string's end, or the end of `text`; remembers an escape that the cut separates from its character."""
        if self._escaped:
            self._escaped = False
            at += 1
        while found := self._INSIDE.search(text, at):
            at = found.end()
            if text[at - 1] == '"':
                self._in_string = False
                return at
            self._escaped = at == len(text)
            at += 1
        return len(text)

    def _bracket(self, char: str) -> None:
        if char == '"':
            self._in_string = True
        elif char in "{[":
            self._depth += 1
        else:
            self._depth -= 1
            self.closed = self._depth <= 0
