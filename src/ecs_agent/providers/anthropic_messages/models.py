"""What is known of Claude models by their names. A name that is not known is taken for a model of today; the codec learns what a server refuses."""

from __future__ import annotations

import re
from typing import Final

from ecs_agent.providers.capabilities import ASSUMED, Capabilities

_VERSION: Final = re.compile(r"claude-(?:[a-z]+-)*(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")

FIRST_THINKING: Final = (3, 7)
FIRST_STRUCTURED: Final = (4, 5)
FIRST_ADAPTIVE: Final = (4, 6)
"""From this version on a model decides how long it thinks, and does not go on behind an assistant's last message."""

FIRST_XHIGH: Final = (4, 7)


def version_of(model: str) -> tuple[int, int] | None:
    """The version in a model's name ("claude-opus-4-5-20251101" is 4.5); None when it is no Claude's."""
    found = _VERSION.search(model.lower())
    return (int(found[1]), int(found[2] or 0)) if found is not None else None


def is_older(model: str, version: tuple[int, int]) -> bool:
    """Whether a model is known to be older than a version."""
    known = version_of(model)
    return known is not None and known < version


def claude_capabilities(model: str) -> Capabilities:
    """What a model can do, so far as its name tells."""
    if is_older(model, FIRST_ADAPTIVE):
        return Capabilities(prefill=True, structured_output=not is_older(model, FIRST_STRUCTURED), context_window=200_000)
    return ASSUMED
