"""Data as JSON text and back. One of msgspec's, for it is the fastest; what that refuses, and Python's own strings may hold, is written as well."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

import msgspec

from ecs_agent.errors import StoreFormatError, UnsavableError

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode

_HALF: Final = re.compile("[\ud800-\udfff]")
_TWO_HALVES: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def dumps(data: Any) -> bytes:
    """Data as JSON.

    Half a surrogate pair in a text is written as an escape. Two halves that stand as two, which no JSON can tell from a whole pair, make the text
    one that only `loads` reads.

    Raises:
        UnsavableError: it is no data, or too deep.
    """
    try:
        return _encode(data)
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        if _TWO_HALVES.search(text) is not None:
            return text.encode("utf-8", "surrogatepass")
        return _HALF.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UnsavableError(f"this cannot be written as JSON: {error}") from error


def loads(text: bytes) -> Any:
    """Data from JSON.

    Raises:
        StoreFormatError: it is none.
    """
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # damage, or text with halves of surrogate pairs
    except RecursionError:
        raise StoreFormatError("this JSON is nested too deep to be read") from None
    try:
        return json.loads(text.decode("utf-8", "surrogatepass"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise StoreFormatError(f"this is no JSON, or damaged: {error}") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
