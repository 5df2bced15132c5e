"""The seam between providers and HTTP: open a request, get status, headers and an async stream of bytes, close.

Anything with `open` and `aclose` can be given to a provider as `transport=`; the tests of this package use one in memory. A transport raises
`ProviderConnectionError` and `ProviderTimeoutError` before the headers, `StreamInterruptedError` after them, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class TransportRequest:
    """One HTTP request; its headers hold the key, so it has no repr of them."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    method: str = "POST"


class TransportResponse(Protocol):
    """What came back: the head at once, the body by and by."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, their names in lower case."""
        ...

    async def read(self) -> bytes:
        """The bytes that have arrived, at least one; empty at the end of the body.

        Raises:
            StreamInterruptedError: the connection was lost.
        """
        ...

    async def aclose(self) -> None:
        """Close the connection unless the body was read to its end; safe to call twice."""
        ...

    def abort(self) -> None:
        """As `aclose`, without awaiting: for finalisers and timers."""
        ...


class Transport(Protocol):
    """Sends requests."""

    async def open(self, request: TransportRequest) -> TransportResponse:
        """Send a request and wait for the head of its response.

        Raises:
            ProviderConnectionError: nobody answered.
            ProviderTimeoutError: connecting took too long.
        """
        ...

    async def aclose(self) -> None:
        """Close idle connections; safe to call twice."""
        ...
