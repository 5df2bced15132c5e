"""The lines of a cassette's file, and how they are read; `cassette` says what they mean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec

from ecs_agent.errors import StoreError, StoreFormatError
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.types import JsonObject

VERSION: Final = 1

End: TypeAlias = Literal["complete", "error", "left"]


class _Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True, omit_defaults=True):
    """A line of a cassette."""


class Header(_Line, frozen=True, kw_only=True, tag="cassette"):
    """The first line."""

    version: int


class Source(_Line, frozen=True, kw_only=True, tag="provider"):
    """A provider that was asked."""

    name: str
    model: str = ""
    capabilities: JsonObject = {}


class Recording(_Line, frozen=True, kw_only=True):
    """A request and its answer."""

    number: int
    lane: int
    opened: float
    asked: JsonObject
    answered: float | None = None
    reads: list[tuple[float, Any]] = []
    ended: float
    end: End = "complete"
    error: JsonObject | None = None


class Call(Recording, frozen=True, kw_only=True, tag="call"):
    """A request to a provider; `result` is a whole answer, or what had arrived of one that failed."""

    provider: str
    result: JsonObject | None = None


class Exchange(Recording, frozen=True, kw_only=True, tag="exchange"):
    """A request over HTTP."""

    status: int | None = None
    headers: dict[str, str] = {}


Line: TypeAlias = Header | Source | Call | Exchange
_DECODER: Final[msgspec.json.Decoder[Line]] = msgspec.json.Decoder(Line)


def read_lines(path: Path) -> Iterator[Source | Call | Exchange]:
    """The lines of a file behind its header.

    Raises:
        StoreError: it cannot be read.
        StoreFormatError: it is no cassette, a damaged one, or one of a newer version.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise StoreError(f"the cassette {path} cannot be read: {error.strerror or error}") from None
    _check_header(lines[0] if lines else b"", path)
    for number, line in enumerate(lines[1:], 2):
        read = _read(line, f"line {number} of the cassette {path}")
        if isinstance(read, Header):
            raise StoreFormatError(f"line {number} of the cassette {path} is a second header; two files were joined")
        yield read


def _check_header(line: bytes, path: Path) -> None:
    try:
        header = msgspec.json.decode(line)
    except msgspec.DecodeError:
        header = None
    if not is_object(header) or header.get("kind") != "cassette" or type(header.get("version")) is not int:
        raise StoreFormatError(f"{path} is no cassette: its first line is no header")
    if header["version"] != VERSION:
        raise StoreFormatError(f"the cassette {path} has version {header['version']}, this package reads {VERSION}; record it again, or upgrade")


def _read(line: bytes, where: str) -> Line:
    try:
        try:
            return _DECODER.decode(line)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:  # perhaps half a surrogate pair, which only the slower reader takes
            read: Line = msgspec.convert(json.loads(line), Line)
            return read
    except (ValueError, RecursionError) as error:  # msgspec's and json's errors are ValueErrors
        raise StoreFormatError(f"{where} is damaged: {error}") from None
