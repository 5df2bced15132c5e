"""The codecs of live objects, which are saved as names."""

from __future__ import annotations

from collections import abc as kinds
from collections.abc import Callable
from typing import Any

from ecs_agent.providers.protocol import LLMProvider, ProviderLike
from ecs_agent.store.references import References
from ecs_agent.store.value_codec import Misfits, ValueCodec
from ecs_agent.streaming.plain_data import PlainData


def live_objects(references: References, plain: PlainData) -> dict[Any, ValueCodec]:
    """The codecs of providers and of functions, by hint."""
    provider = _provider(references, Misfits(plain))
    function: Any = kinds.Callable
    return {ProviderLike: provider, LLMProvider: provider, function: _function(references, Misfits(plain))}


def tool_at(references: References, plain: PlainData) -> Callable[[str], ValueCodec]:
    """The codec of the function that stands under a key of a dictionary."""
    misfits = Misfits(plain)

    def at_key(key: str) -> ValueCodec:
        def write(value: Any) -> Any:
            return references.met_tool(key, value) if callable(value) else misfits.write(value)

        return ValueCodec("tool", "other", callable, write, read)

    def read(data: Any) -> Any:
        return references.tool(data) if isinstance(data, str) else misfits.read(data, "the name of a tool")

    return at_key


def _provider(references: References, misfits: Misfits) -> ValueCodec:
    def accepts(value: Any) -> bool:
        return callable(getattr(value, "complete", None))

    def write(value: Any) -> Any:
        return references.name_of(value) if accepts(value) else misfits.write(value)

    def read(data: Any) -> Any:
        return references.provider(data) if isinstance(data, str) else misfits.read(data, "the name of a provider")

    return ValueCodec("provider", "other", accepts, write, read)


def _function(references: References, misfits: Misfits) -> ValueCodec:
    def write(value: Any) -> Any:
        if not callable(value):
            return misfits.write(value)
        name = str(getattr(value, "__name__", type(value).__name__))
        references.met_tool(name, value)
        if references.tool(name) is not value:
            raise TypeError(f"is the function {name!r}, and another one of this name is saved already; give both by name with tools={{…}}")
        return name

    def read(data: Any) -> Any:
        return references.tool(data) if isinstance(data, str) else misfits.read(data, "the name of a function")

    return ValueCodec("function", "other", callable, write, read)
