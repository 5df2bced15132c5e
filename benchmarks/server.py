"""A model server for benchmarks, in a process of its own so that its work is not counted as anybody's.

What it answers stands in the address: `http://127.0.0.1:PORT/DELTAS-INTERVAL/v1` gives streams of so many deltas, one each so many
microseconds, or all at once for 0.

* At full speed the whole answer is made beforehand. With `-varied` after it, its chunks differ in more than their text, as some vendors' do: a
  time that goes on, and padding of random length.
* A paced stream keeps to its timetable however slowly it is read, as a model does. Each delta carries as its text the time at which it was sent,
  so that whoever reads it knows how long it took: machine time in nanoseconds, in fixed width after a space.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.limits import raise_descriptor_limit

ROOT = Path(__file__).parents[1]
CHUNK = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench-model-1","system_fingerprint":"fp_bench",'
    b'"choices":[{"index":0,"delta":{"content":"%b"},"logprobs":null,"finish_reason":null}]}\n\n'
)
FIRST = CHUNK.replace(b'{"content":"%b"}', b'{"role":"assistant","content":""}')
FINISH = CHUNK.replace(b'{"content":"%b"}', b"{}").replace(b'"finish_reason":null', b'"finish_reason":"stop"')
USAGE = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench-model-1","choices":[],'
    b'"usage":{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}}\n\n'
)
DONE = b"data: [DONE]\n\n"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
REQUEST = re.compile(rb"POST /(\d+)-(\d+)(-varied)?/\S* HTTP/1\.1\r\n.*?content-length: *(\d+).*?\r\n\r\n", re.DOTALL | re.IGNORECASE)
WORDS = (b" never", b" twice")  # one word for ever is taken for a broken model by one of the peers


@dataclass(slots=True)
class PacedStream:
    """One that still has deltas to send, one each `interval` nanoseconds."""

    transport: asyncio.Transport
    deltas: int
    interval: int
    tail: bytes


class Pacer:
    """Sends what is due, on one timer for all streams."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, PacedStream]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._streams = 0

    def add(self, stream: PacedStream) -> None:
        """Begin a stream with its first delta."""
        self._streams += 1
        heapq.heappush(self._due, (time.monotonic_ns(), self._streams, stream))
        self._wait()

    def _wait(self) -> None:
        if not self._due:
            return
        at = self._due[0][0] / 1e9
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at, self._send)

    def _send(self) -> None:
        self._timer = None
        due, now = self._due, time.monotonic_ns()
        while due and due[0][0] <= now:
            at, number, stream = due[0]
            if stream.deltas and not stream.transport.is_closing():
                stream.transport.write(CHUNK % b" %016d" % time.monotonic_ns())
                stream.deltas -= 1
                heapq.heapreplace(due, (at + stream.interval, number, stream))
            else:
                heapq.heappop(due)
                stream.transport.write(stream.tail)
                stream.transport.close()
        self._wait()


class Answering(asyncio.Protocol):
    """One connection: reads one whole request, answers it, and closes."""

    def __init__(self, pacer: Pacer, answers: dict[tuple[int, bool], bytes]) -> None:
        self._pacer = pacer
        self._answers = answers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        request = REQUEST.match(self._received)
        if request is not None and len(self._received) >= request.end() + int(request[4]):
            tail = USAGE + DONE if b"include_usage" in self._received else DONE  # as real ones: only who asks for it gets it
            self._answer(int(request[1]), int(request[2]), bool(request[3]), FINISH + tail)

    def _answer(self, deltas: int, interval: int, varied: bool, tail: bytes) -> None:
        if interval:
            self._transport.write(HEAD + FIRST)
            self._pacer.add(PacedStream(self._transport, deltas, interval * 1000, tail))
            return
        if (deltas, varied) not in self._answers:
            self._answers[deltas, varied] = HEAD + FIRST + b"".join(_chunks(deltas, varied))
        self._transport.writelines([self._answers[deltas, varied], tail])
        self._transport.close()


def _chunks(deltas: int, varied: bool) -> Iterator[bytes]:
    chance = random.Random(1)
    for number in range(deltas):
        chunk = CHUNK % WORDS[number % 2]
        if varied:
            chunk = chunk.replace(b"1700000000", b"%d" % (1_700_000_000 + number // 50))
            chunk = chunk[:-3] + b',"obfuscation":"%b"}\n\n' % (b"ecs" * chance.randrange(1, 8))[: chance.randrange(3, 20)]
        yield chunk


async def _serve() -> None:
    pacer, answers = Pacer(), dict[tuple[int, bool], bytes]()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(pacer, answers), "127.0.0.1", 0, backlog=8192)
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.freeze()
    gc.disable()  # connections are no cycles, and a pause would be measured as latency
    await loop.run_in_executor(None, sys.stdin.read)  # ends with its parent


@contextmanager
def running() -> Iterator[str]:
    """Run the server and yield its address, to which `/DELTAS-INTERVAL/v1` is added."""
    command = [sys.executable, "-m", "benchmarks.server"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.communicate()


if __name__ == "__main__":
    raise_descriptor_limit()
    asyncio.run(_serve())
