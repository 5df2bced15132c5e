"""Ids of tool calls that came from one server and go to another, which may refuse them for their length or their characters."""

from __future__ import annotations

import hashlib
import re
from typing import Final

_FORBIDDEN: Final = re.compile(r"[^A-Za-z0-9_-]")
_DIGEST: Final = 8


def sendable_id(call_id: str, longest: int, *, any_character: bool = False) -> str:
    """The same id if an API takes it, else one made from it: always the same one for the same id, so that a call and its result agree.

    Args:
        call_id: as it stands in the conversation.
        longest: how many characters the API takes.
        any_character: it takes other characters than letters, digits, `_` and `-` as well.
    """
    clean = call_id if any_character else _FORBIDDEN.sub("_", call_id)
    if clean == call_id and len(call_id) <= longest:
        return call_id
    digest = hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{clean[: longest - _DIGEST - 1]}_{digest}"
