"""What a provider can do, as data: asked before a request that it could not answer, and never found out by its failing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider, with its model, can do.

    Attributes:
        prefill: it goes on behind an assistant's message that stands last.
        continuation: asked in words to go on with an answer that broke off, it does.
        tools: it takes tools.
        structured_output: it takes a `response_format`.
        images: it takes images.
        reports_usage: it says how many tokens a stream cost.
        context_window: how many tokens a request and its answer may have together; None when that is not known.
        strict_schemas: it takes only closed schemas, as `pydantic_to_response_format` makes them.
    """

    prefill: bool = False
    continuation: bool = True
    tools: bool = True
    structured_output: bool = True
    images: bool = True
    reports_usage: bool = True
    context_window: int | None = None
    strict_schemas: bool = True


ASSUMED: Final = Capabilities()
"""Those of a provider that does not say."""


def capabilities_of(provider: object) -> Capabilities:
    """What a provider says of itself in its attribute `capabilities`; `ASSUMED` if it says nothing."""
    said = getattr(provider, "capabilities", None)
    return said if isinstance(said, Capabilities) else ASSUMED


def common(several: Sequence[Capabilities]) -> Capabilities:
    """What each of several can; the window is the smallest that is known, and schemas are closed when one of them wants it."""
    windows = [each.context_window for each in several if each.context_window is not None]
    return Capabilities(
        prefill=all(each.prefill for each in several),
        continuation=all(each.continuation for each in several),
        tools=all(each.tools for each in several),
        structured_output=all(each.structured_output for each in several),
        images=all(each.images for each in several),
        reports_usage=all(each.reports_usage for each in several),
        context_window=min(windows, default=None),
        strict_schemas=any(each.strict_schemas for each in several),
    )
