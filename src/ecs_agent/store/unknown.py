"""Components and events of types that nobody registered: kept as the data they are, and written again as they were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, cast

from ecs_agent.types import JsonObject


@dataclass(slots=True)
class UnknownComponent:
    """A component of a type that is not registered. Each tag has subclasses of its own, so that an entity may have several of them.

    `fields` are its data; nobody changes them.
    """

    tag: ClassVar[str] = ""
    version: ClassVar[int] = 1
    fields: JsonObject


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """An event of a type that is not registered."""

    tag: str
    version: int
    data: Any


def unknown_type(tag: str, version: int) -> type[UnknownComponent]:
    """The type of the unknown components with a tag, as they were in a version."""
    kind = type(f"Unknown{tag}", (UnknownComponent,), {"tag": tag, "version": version, "__slots__": (), "__module__": __name__})
    return cast("type[UnknownComponent]", kind)
