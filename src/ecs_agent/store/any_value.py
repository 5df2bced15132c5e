"""Values of which no hint tells anything: plain values of Python, moments and paths, and objects of registered types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ecs_agent.store.scalar_codecs import TEXTS, known_text
from ecs_agent.streaming.json_edge import is_list
from ecs_agent.streaming.plain_data import PlainData

_NAMED: Final = {kind.__name__: read for kind, (_, read) in TEXTS.items() if kind not in (bytes, bytearray)}


class AnyValues:
    """Any value as data.

    Args:
        write_value: of an object of a registered type; raises TypeError for all others.
        read_value: of its tag, version and data.

    Attributes:
        plain: writes and reads such values.
    """

    __slots__ = ("_read_value", "_write_value", "plain")

    def __init__(self, write_value: Callable[[object], Any], read_value: Callable[[str, int, Any], object]) -> None:
        self._write_value = write_value
        self._read_value = read_value
        self.plain = PlainData(self._write, self._read)

    def _write(self, value: object) -> Any:
        kind = known_text(value)
        return self._write_value(value) if kind is None else {f"${kind.__name__}": TEXTS[kind][0](value)}

    def _read(self, tag: str, held: Any) -> Any:
        read = _NAMED.get(tag)
        if read is not None and isinstance(held, str):
            return read(held)
        if tag == "value" and is_list(held) and len(held) == 3 and isinstance(held[0], str):
            return self._read_value(held[0], held[1], held[2])
        raise ValueError(f"there is no kind of value ${tag}, or it holds something else")
