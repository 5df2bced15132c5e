"""Finding the recording of a request: by what was asked first, and among equal ones by their order.

So independent agents find their answers however their requests are interleaved this time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TypeVar

from ecs_agent.errors import RecordingMissError
from ecs_agent.providers.recorded.cassette_line import Call, Exchange
from ecs_agent.providers.recorded.request_data import to_json
from ecs_agent.providers.recorded.request_diff import distance, explain
from ecs_agent.types import JsonObject

R = TypeVar("R", Call, Exchange)


class Shelf:
    """Recordings, each of which is used once."""

    def __init__(self) -> None:
        self._recordings: list[Call | Exchange] = []
        self._by_content: dict[bytes, list[Call | Exchange]] = {}
        self._used: set[int] = set()

    @property
    def recordings(self) -> list[Call | Exchange]:
        """All, in the order of the requests."""
        return sorted(self._recordings, key=_number)

    def put(self, recording: Call | Exchange) -> None:
        """Take in a recording; they come in the order in which they ended."""
        self._recordings.append(recording)
        equal = self._by_content.setdefault(_content(recording.asked), [])
        equal.append(recording)
        equal.sort(key=_number)

    def unused(self) -> list[Call | Exchange]:
        """Those that nobody asked for, in the order of the requests."""
        return [recording for recording in self.recordings if recording.number not in self._used]

    def rewind(self) -> None:
        """None is used."""
        self._used.clear()

    def call(self, asked: JsonObject, provider: str | None, *, repeat: bool) -> Call:
        """The recorded answer of a provider.

        Args:
            asked: the request; one with the model "" takes any model's answer.
            provider: the name of who was asked; None for anybody.
            repeat: after the last one of equal recordings it is used again.

        Raises:
            RecordingMissError: there is none, or none that is not used; the message shows in what the nearest one differs.
        """

        def fits(recording: Call) -> bool:
            return asked["model"] in ("", recording.asked.get("model")) and provider in (None, recording.provider)

        return self._found(Call, asked, fits, repeat)

    def exchange(self, asked: JsonObject, *, repeat: bool) -> Exchange:
        """The recorded answer to a request over HTTP; see `call`. Its host may be another one."""
        return self._found(Exchange, asked, lambda _: True, repeat)

    def _found(self, kind: type[R], asked: JsonObject, fits: Callable[[R], bool], repeat: bool) -> R:
        found = [each for each in self._by_content.get(_content(asked), []) if isinstance(each, kind) and fits(each)]
        unused = [each for each in found if each.number not in self._used]
        if not unused and not (repeat and found):
            raise RecordingMissError(_told(kind, asked, found, self.recordings, self.unused()))
        recording = unused[0] if unused else found[-1]
        self._used.add(recording.number)
        return recording


def _number(recording: Call | Exchange) -> int:
    return recording.number


def _content(asked: JsonObject) -> bytes:
    """What two requests have in common that are the same question, whichever model or host it goes to."""
    content = {name: value for name, value in asked.items() if name != "model"}
    if "url" in content:
        content["url"] = _path(content)
    return blake2b(to_json(content, in_order=True), digest_size=16).digest()


def _told(kind: type[R], asked: JsonObject, found: Sequence[R], recordings: Sequence[Call | Exchange], unused: Sequence[Call | Exchange]) -> str:
    if found:
        times = "once" if len(found) == 1 else f"{len(found)} times"
        return f"this request was recorded {times}, and was answered as often; with repeat=True the last answer is given again"
    comparable = [each for each in unused if isinstance(each, kind)] or [each for each in recordings if isinstance(each, kind)]
    if not comparable:
        return f"the cassette holds no {kind.__name__.lower()}, so no answer to this request"
    nearest = min(comparable, key=lambda each: distance(each.asked, _beside(asked, each)))
    return f"no recording answers this request; {explain(nearest.asked, _beside(asked, nearest), f'number {nearest.number}')}"


def _beside(asked: JsonObject, recording: Call | Exchange) -> JsonObject:
    """The request, as it is compared with a recording: what makes no difference is the same in both."""
    if asked.get("model") == "":
        return {**asked, "model": recording.asked.get("model")}
    if "url" in asked and _path(asked) == _path(recording.asked):
        return {**asked, "url": recording.asked["url"]}
    return asked


def _path(asked: JsonObject) -> str:
    return str(asked.get("url", "")).partition("://")[2].partition("/")[2]
