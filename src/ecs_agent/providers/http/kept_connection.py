"""A kept connection that its server closes just when the next request is sent on it: neither side did anything wrong, so it is sent once more.

Only where nothing can have been answered: the connection had served a request before, and not a byte came back on it this time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Final, cast

import aiohttp
from aiohttp.connector import Connection

LOST: Final = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError, aiohttp.ClientConnectionResetError)
"""What a connection that is closed before its answer raises."""


@dataclass(slots=True)
class Sending:
    """One sending of a request; `kept` says that its connection had served another one before."""

    kept: bool = False


def noting_kept() -> aiohttp.TraceConfig:
    """Marks the `Sending` that is given as `trace_request_ctx`."""
    noting = aiohttp.TraceConfig()
    noting.on_connection_reuseconn.append(_kept)
    return noting


async def _kept(_: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceConnectionReuseconnParams) -> None:
    cast("Sending", context.trace_request_ctx).kept = True


class HalfHeadError(aiohttp.ClientConnectionError):
    """The connection was lost after the beginning of an answer's head."""


class HeardResponse(aiohttp.ClientResponse):
    """Tells a connection that was lost in the head of an answer from one on which nothing came."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Wait for the head.

        Raises:
            HalfHeadError: only a part of it came.
        """
        first = _FirstByte.on(connection)
        try:
            return await super().start(connection)
        except LOST as error:
            if first is None or not first.came:
                raise
            said = str(error)
        raise HalfHeadError(f"in the middle of the answer's head; {said[:100]}")


class _FirstByte(asyncio.Protocol):
    """Stands before a connection's protocol until the first byte comes."""

    def __init__(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        self._transport = transport
        self._protocol = protocol
        self.came = False

    @classmethod
    def on(cls, connection: Connection) -> _FirstByte | None:
        """Listen; None if the connection is gone already."""
        transport, protocol = connection.transport, connection.protocol
        if transport is None or protocol is None:
            return None
        first = cls(transport, protocol)
        transport.set_protocol(first)
        return first

    def data_received(self, data: bytes) -> None:
        self.came = True
        self._transport.set_protocol(self._protocol)
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()
