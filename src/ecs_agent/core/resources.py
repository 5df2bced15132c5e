"""Resources: the live objects of a World that are no state, one of a type: a pool of threads, a connection, a service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Resources:
    """Live objects by type, and everything else that has to be ended with the World."""

    def __init__(self) -> None:
        self._held: dict[type, Any] = {}
        self._closing: list[Callable[[], Awaitable[None]]] = []

    def get(self, kind: type[T], make: Callable[[], T] | None = None) -> T:
        """The object of a type, made at first use.

        Raises:
            LookupError: there is none, and it was not said how to make one.
        """
        found = self._held.get(kind)
        if found is None:
            if make is None:
                raise LookupError(f"this world has no {kind.__name__}; give it one with world.insert_resource(…)")
            found = make()
            self.insert(found, kind)
        return cast("T", found)

    def find(self, kind: type[T]) -> T | None:
        """The object of a type, None if there is none."""
        return self._held.get(kind)

    def insert(self, resource: object, kind: type | None = None) -> None:
        """Take in an object under its type; one with an `aclose` is closed with the World.

        Raises:
            ValueError: there is one of this type already.
        """
        kind = type(resource) if kind is None else kind
        if kind in self._held:
            raise ValueError(f"this world has a {kind.__name__} already; there is one resource of a type")
        self._held[kind] = resource
        close = getattr(resource, "aclose", None)
        if close is not None:
            self.on_close(close)

    def on_close(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Have something ended with the World; the last one added is ended first."""
        self._closing.append(callback)

    async def aclose(self) -> list[Exception]:
        """End everything; what could not be ended is returned, and everything else was ended all the same."""
        failures: list[Exception] = []
        while self._closing:
            try:
                await self._closing.pop()()
            except Exception as error:  # noqa: BLE001 - whatever one raises, the others are ended too
                failures.append(error)
        return failures
