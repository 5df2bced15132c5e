"""What servers of the OpenAI Responses protocol refused, so that it is not sent again."""

from __future__ import annotations

import re
from typing import Any, Final

from ecs_agent.errors import BadRequestError, ProviderError
from ecs_agent.providers.openai_responses.input import OURS, replay_key
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.types import JsonObject

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
        lost: the responses that it no longer knows.
        refused: keys of the items that it did not take back: another server's, another account's, or expired.
        plain_models: models that have no encrypted reasoning.
        silent_models: models that do not sum up their reasoning.
    """

    def __init__(self) -> None:
        self.chains = True
        self.lost: set[str] = set()
        self.refused: set[str] = set()
        self.plain_models: set[str] = set()
        self.silent_models: set[str] = set()

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
            self.lost.add(known)
        else:
            self.chains = False
        return True

    def _asked(self, words: str, model: str, sent: JsonObject) -> bool:
        reasoning = sent.get("reasoning")
        if is_object(reasoning) and "summary" in reasoning and model not in self.silent_models and _SUMMARY.search(words):
            self.silent_models.add(model)
            return True
        if sent.get("include") and model not in self.plain_models and _NO_ENCRYPTED.search(words):
            self.plain_models.add(model)
            return True
        return False

    def _replayed(self, words: str, sent: JsonObject) -> bool:
        items: list[Any] = sent.get("input") or []
        replayed = {replay_key(item) for item in items if item.get("type") not in OURS} - self.refused
        if not replayed or not _REPLAY.search(words):
            return False
        self.refused |= replayed
        return True
