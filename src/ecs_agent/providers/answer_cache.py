"""AnswerCache: whole answers by a key, as JSON, bounded. What cannot be read or written is a miss and a line in the log, never an error."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from ecs_agent.logging import get_logger
from ecs_agent.providers.recorded.mask import Mask
from ecs_agent.providers.recorded.request_data import to_json
from ecs_agent.providers.recorded.result_data import result_from_data, result_to_data
from ecs_agent.streaming.fold import fold
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.streaming.unfold import unfold
from ecs_agent.types import CompletionResult

_VERSION: Final = 1
_KEPT: Final = ("stop", "tool_calls")

_log = get_logger("ecs_agent.providers.answer_cache")


class AnswerCache:
    """Keeps answers; those that were used least recently go first.

    Args:
        store: where to.
        max_entries: how many at most.
        ttl: seconds for which an answer is kept; None for ever.
        clock: UTC in seconds, as a store may outlive its process.
    """

    def __init__(self, store: MutableMapping[str, bytes], max_entries: int, ttl: float | None, clock: Callable[[], float]) -> None:
        self._store = store
        self._order = OrderedDict.fromkeys(store)
        self._max_entries = max_entries
        self._ttl = ttl
        self._clock = clock

    def get(self, key: str) -> CompletionResult | None:
        """The answer that is kept under a key."""
        try:
            data = self._store.get(key)
            if data is None:
                return None
            since, result = _read(data)
        except Exception as error:  # noqa: BLE001 - a store may be anybody's, and an answer can be had without it
            _log.warning("a kept answer cannot be read", key=key, error=str(error))
            self._forget(key)
            return None
        if self._ttl is not None and self._clock() - since >= self._ttl:
            self._forget(key)
            return None
        self._order[key] = None
        self._order.move_to_end(key)
        return result

    def keep(self, key: str, result: CompletionResult, secrets: Sequence[str]) -> None:
        """Keep an answer, if it is whole and holds nothing secret.

        Args:
            key: where to find it.
            result: the answer.
            secrets: what must not be kept beside what looks like a key.
        """
        if result.message.interrupted or result.finish_reason not in _KEPT:
            return
        try:
            kept = result_to_data(replace(result, timing=None))
            if Mask(secrets).value(kept) != kept:
                return
            data = to_json({"version": _VERSION, "kept": self._clock(), "result": kept})
            if fold(unfold(_read(data)[1])).message != result.message:
                return  # a stream of it would be another message
            self._store[key] = data
        except Exception as error:  # noqa: BLE001 - as above
            _log.warning("an answer cannot be kept", key=key, error=str(error))
            return
        self._order[key] = None
        self._order.move_to_end(key)
        while len(self._order) > self._max_entries:
            self._forget(next(iter(self._order)))

    def _forget(self, key: str) -> None:
        self._order.pop(key, None)
        with suppress(Exception):  # what cannot be removed is damaged, or old, the next time too
            self._store.pop(key, None)


def _read(data: bytes) -> tuple[float, CompletionResult]:
    """When an answer was kept, and the answer.

    Raises:
        ValueError: it is no such data.
    """
    entry: Any = json.loads(data)
    if not is_object(entry) or entry.get("version") != _VERSION:
        raise ValueError(f"it is no answer of version {_VERSION}")
    return float(entry["kept"]), result_from_data(entry["result"])
