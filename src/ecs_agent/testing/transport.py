"""ScriptedTransport: a model server in memory. Without sockets it runs on a virtual clock, where pauses and stalls take no time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from ecs_agent.errors import ProviderConnectionError, StreamInterruptedError
from ecs_agent.providers.script import Piece
from ecs_agent.providers.transport import TransportRequest
from ecs_agent.testing.answers import Answers, Received, ServerAnswer
from ecs_agent.testing.reply import Reply


class ScriptedTransport:
    """Answers requests as `LoopbackServer` does; give it to a provider as `transport=`.

    Args:
        answers: one a request; the last one is repeated.
        by: what an event of a script holds, as in `FakeProvider`.
        delay: seconds after each event of a script.

    Attributes:
        answers: as they were given.
        requests: what came in, in order.
        base_url: what to give a provider as `base_url`; nothing listens there.
    """

    base_url = "http://127.0.0.1/v1"

    def __init__(self, answers: Sequence[ServerAnswer], *, by: Piece = "word", delay: float = 0.0) -> None:
        self.answers = tuple(answers)
        self._answers = Answers(answers, by, delay)
        self.requests: list[Received] = []

    async def open(self, request: TransportRequest) -> ScriptedResponse:
        """Answer a request.

        Raises:
            ProviderConnectionError: that is the answer.
        """
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(request.method, urlsplit(request.url).path, headers, json.loads(request.body) if request.body else None)
        self.requests.append(received)
        reply = self._answers.next(received)
        try:
            if reply.end == "silent":
                await asyncio.Event().wait()
            if reply.end == "hangup":
                raise ProviderConnectionError("the server closed the connection without an answer")
        except BaseException:
            received.closed.set()
            raise
        return ScriptedResponse(reply, received)

    async def aclose(self) -> None:
        """Nothing to close."""


class ScriptedResponse:
    """A response that plays a `Reply`, a piece a read."""

    def __init__(self, reply: Reply, received: Received) -> None:
        self._pieces = iter(reply.pieces)
        self._end = reply.end
        self._received = received
        self._aborted = asyncio.Event()
        self.status = reply.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in reply.headers.items()}

    async def read(self) -> bytes:
        """The next piece; empty at the end.

        Raises:
            StreamInterruptedError: the reply ends so, or this was aborted.
        """
        for piece in self._pieces:
            if isinstance(piece, bytes):
                if piece:
                    return piece
            else:
                await self._wait(piece)
        if self._end == "stall":
            await self._wait(None)
        self._over()
        if self._end == "eof" and not self._received.cut_off:
            return b""
        raise StreamInterruptedError("the connection was lost in the middle of the answer (reset)")

    async def _wait(self, seconds: float | None) -> None:
        """Wait, until this is aborted."""
        try:
            async with asyncio.timeout(seconds):
                await self._aborted.wait()
        except TimeoutError:
            return
        raise StreamInterruptedError("the connection was closed")

    def _over(self) -> None:
        self._received.closed.set()

    async def aclose(self) -> None:
        """Leave."""
        self.abort()

    def abort(self) -> None:
        """Leave, and wake whoever reads."""
        if not self._received.closed.is_set():
            self._received.cut_off = True
            self._over()
        self._pieces = iter(())
        self._aborted.set()
