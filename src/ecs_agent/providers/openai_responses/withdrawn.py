"""What servers of the OpenAI Responses protocol refused, so that it is not sent again.

Requests that were under way when it was learned are refused the same, and are sent again as well. Whoever sends them sees to it that nothing is sent
twice that did not change.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from typing import Any, Final

from ecs_agent.errors import BadRequestError, ProviderError
from ecs_agent.providers.openai_responses.input import OURS, replay_key
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.types import JsonObject

ENCRYPTED: Final = "reasoning.encrypted_content"
"""Asks for reasoning that nobody but the server can read, to be sent back."""

MOST_REMEMBERED: Final = 4096
"""So many lost responses, and as many refused items, are remembered; an older one is refused once more if it is ever sent."""

_SUMMARY: Final = re.compile(r"reasoning[._ ]summar", re.IGNORECASE)
_NO_ENCRYPTED: Final = re.compile(r"encrypted content is not supported|reasoning\.encrypted_content|'include'", re.IGNORECASE)
_REPLAY: Final = re.compile(
    r"encrypted[_ ]content|item with id|items? (?:is|are) not persisted|required.{0,40}item|type of 'item'|input\[\d+\]|\b(?:rs|ws|fs|ci|ig|mcp)_\w",
    re.IGNORECASE,
)


class Withdrawn:
    """What is left out from now on.

    Attributes:
        chains: whether the server takes `previous_response_id` at all.
        plain_models: models that have no encrypted reasoning.
        silent_models: models that do not sum up their reasoning.
    """

    def __init__(self) -> None:
        self.chains = True
        self.plain_models: set[str] = set()
        self.silent_models: set[str] = set()
        self._lost: dict[str, None] = {}
        self._refused: dict[str, None] = {}

    @property
    def lost(self) -> AbstractSet[str]:
        """The responses that the server no longer knows."""
        return self._lost.keys()

    @property
    def refused(self) -> AbstractSet[str]:
        """Keys of the items that it did not take back: another server's, another account's, or expired."""
        return self._refused.keys()

    def take(self, error: ProviderError, sent: JsonObject) -> bool:
        """Whether something in a refused request is left out from now on, so that it may be sent once more."""
        if not isinstance(error, BadRequestError):
            return False
        words, model = str(error), str(sent.get("model"))
        return self._chain(words, sent) or self._asked(words, model, sent) or self._replayed(words, sent)

    def _chain(self, words: str, sent: JsonObject) -> bool:
        known = sent.get("previous_response_id")
        if not isinstance(known, str) or "previous" not in words.lower():
            return False
        if "not_found" in words or "not found" in words.lower():
            _remember(self._lost, {known})
        else:
            self.chains = False
        return True

    def _asked(self, words: str, model: str, sent: JsonObject) -> bool:
        reasoning = sent.get("reasoning")
        if is_object(reasoning) and "summary" in reasoning and _SUMMARY.search(words):
            self.silent_models.add(model)
            return True
        if ENCRYPTED in (sent.get("include") or ()) and _NO_ENCRYPTED.search(words):
            self.plain_models.add(model)
            return True
        return False

    def _replayed(self, words: str, sent: JsonObject) -> bool:
        items: list[Any] = sent.get("input") or []
        replayed = {replay_key(item) for item in items if item.get("type") not in OURS}
        if not replayed or not _REPLAY.search(words):
            return False
        _remember(self._refused, replayed)
        return True


def _remember(known: dict[str, None], new: Collection[str]) -> None:
    """Add names as the newest, and forget the oldest ones beyond the limit, but none of the new ones."""
    for name in new:
        known.pop(name, None)
        known[name] = None
    for name in [*known][: -max(MOST_REMEMBERED, len(new))]:
        del known[name]
