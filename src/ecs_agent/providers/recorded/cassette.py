"""Cassette: requests and their answers, recorded; in memory or as a file of JSON lines that people can read and compare.

    {"kind":"cassette","version":1}
    {"kind":"provider","name":"openai","model":"m","capabilities":{…}}
    {"kind":"call","number":0,"lane":0,"opened":0.0,"asked":{"model":"m","stream":true,"messages":[…],"options":{…}},"answered":0.21,
     "reads":[[0.21,[{"text":"Hello you","lengths":[5,4]}]],[0.4,[{"finish_reason":"stop","final":true}]]],"ended":0.4,"provider":"openai"}
    {"kind":"exchange",…,"asked":{"method":"POST","url":"https://…","body":{…}},"reads":[[0.21,"data: …"],…],"status":200,"headers":{…}}

A line is one request; lines stand in the order in which requests ended. `opened` counts seconds from the first request of the cassette; `answered`
(the head of the answer came), the time of each read, and `ended` count from the opening. A read holds what was read at once: a call's deltas, an
exchange's bytes as text, else in base 64. `end`, `error` and `result` tell of an answer that failed (`"error"`) or was not read to its end
(`"left"`), and of a whole one. `number` is the order of the openings. `lane` is the smallest number that no other open request had, so that
requests that were open together have different ones.

While it is recorded, lines are appended to `<path>.part`; `close` puts that file in the place of an earlier one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self, TypeVar

from ecs_agent.errors import StoreError
from ecs_agent.providers.capabilities import Capabilities
from ecs_agent.providers.recorded.cassette_file import CassetteFile
from ecs_agent.providers.recorded.cassette_line import Call, Exchange, Source, read_lines
from ecs_agent.providers.recorded.shelf import Shelf
from ecs_agent.providers.recorded.take import CallTake, ExchangeTake, Take
from ecs_agent.types import JsonObject

T = TypeVar("T", bound=Take[Any])


class Cassette:
    """What was recorded.

    One with a path is for recording: it keeps nothing in memory, and its file is there when it is closed. One without, or one that was loaded, is
    for replaying as well.

    Args:
        path: the file to record; None to keep everything in memory.

    Attributes:
        sources: the providers that were asked.
        shelf: finds recordings.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.sources: list[Source] = []
        self.shelf = Shelf()
        self._file = CassetteFile(Path(path)) if path is not None else None
        self._failure: Exception | None = None
        self._numbers = 0
        self._lanes = _Lanes()
        self._since: float | None = None
        self._replays_since: float | None = None
        self._open: dict[int, Take[Any]] = {}
        self._closed = False

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """What a file holds, to replay it; nothing can be recorded on it.

        Raises:
            StoreError: it cannot be read.
            StoreFormatError: it is no cassette, a damaged one, or one of a newer version.
        """
        cassette = cls()
        recordings: list[Call | Exchange] = []
        for line in read_lines(Path(path)):
            if isinstance(line, Source):
                cassette.sources.append(line)
            else:
                recordings.append(line)
        for recording in sorted(recordings, key=lambda each: each.number):
            cassette.shelf.put(recording)
        cassette._closed = True
        return cassette

    @property
    def path(self) -> Path | None:
        """The file that is recorded."""
        return self._file.path if self._file is not None else None

    @property
    def recordings(self) -> list[Call | Exchange]:
        """What can be replayed, in the order of the requests."""
        return self.shelf.recordings

    def unused(self) -> list[Call | Exchange]:
        """What was not replayed, in the order of the requests."""
        return self.shelf.unused()

    def rewind(self) -> None:
        """Every recording may be used again, as if none had been."""
        self.shelf.rewind()
        self._replays_since = None

    def begins(self, recording: Call | Exchange, now: float, speed: float) -> float:
        """When the request of a recording counts as opened in a replay, which begins with the first one that is asked for; not before now.

        Args:
            recording: what is replayed.
            now: the loop's time.
            speed: of the replay.
        """
        if self._replays_since is None:
            self._replays_since = now - recording.opened / speed
        return max(now, self._replays_since + recording.opened / speed)

    # Recording

    def introduce(self, name: str, model: str, capabilities: Capabilities) -> None:
        """A provider is going to be recorded.

        Raises:
            StoreError: the cassette was loaded, or closed.
        """
        self._check_open()
        source = Source(name=name, model=model, capabilities=asdict(capabilities))
        if source not in self.sources:
            self.sources.append(source)
            if self._file is not None:
                self._file.append(source)

    def open_call(self, provider: str, asked: JsonObject, secrets: Sequence[str], clock: Callable[[], float]) -> CallTake:
        """A provider is asked.

        Args:
            provider: its name.
            asked: the request, scrubbed.
            secrets: what must not stand in the recording.
            clock: seconds.

        Raises:
            StoreError: the cassette was loaded, or closed.
        """
        return self._opened(CallTake(self, self._place(), asked, secrets, self._beginning(clock), clock, provider))

    def open_exchange(self, asked: JsonObject, secrets: Sequence[str], clock: Callable[[], float]) -> ExchangeTake:
        """As `open_call`, for a request over HTTP."""
        return self._opened(ExchangeTake(self, self._place(), asked, secrets, self._beginning(clock), clock))

    def _place(self) -> tuple[int, int]:
        self._check_open()
        return self._numbers, self._lanes.take()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("nothing can be recorded on this cassette: it was loaded from a file, or is closed")

    def _beginning(self, clock: Callable[[], float]) -> float:
        if self._since is None:
            self._since = clock()
        return self._since

    def _opened(self, take: T) -> T:
        self._numbers += 1
        self._open[take.number] = take
        return take

    def finish(self, take: Take[Any], recording: Call | Exchange | None) -> None:
        """A request has ended; None where it leaves nothing."""
        del self._open[take.number]
        self._lanes.give_back(take.lane)
        if recording is None:
            return
        if self._file is not None:
            self._file.append(recording)
        else:
            self.shelf.put(recording)

    def spoil(self, failure: Exception) -> None:
        """Something cannot be recorded. What is recorded goes on undisturbed, and closing tells."""
        if self._file is not None:
            self._file.spoil(failure)
        else:
            self._failure = self._failure or failure

    def close(self) -> None:
        """End the recording: requests that are still open are recorded as left, and the file is put in its place. Safe to call twice.

        Raises:
            StoreError: something could not be recorded, and an earlier file is as it was.
        """
        if self._closed:
            return
        for take in list(self._open.values()):
            take.leave()
        self._closed = True
        if self._file is not None:
            self._file.close()
        if self._failure is not None:
            raise StoreError(f"not everything could be recorded: {self._failure}") from self._failure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Lanes:
    """Hands out the smallest number that nobody has."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._count = 0

    def take(self) -> int:
        if self._free:
            return heapq.heappop(self._free)
        self._count += 1
        return self._count - 1

    def give_back(self, lane: int) -> None:
        heapq.heappush(self._free, lane)
