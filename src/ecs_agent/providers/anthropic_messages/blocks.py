"""The blocks of an answer in the Messages protocol while they are open: what is known of each only when it ends.

An answer is a sequence of blocks, and most servers end one before they begin the next. Some end them all together, or never, so a block of text or
of thoughts counts as ended when another one begins; calls go on side by side.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from ecs_agent.providers.anthropic_messages.fields import SOURCE, citation_of
from ecs_agent.streaming.json_edge import is_list, is_object, parsed, without_surrogates
from ecs_agent.streaming.text_buffer import TextBuffer
from ecs_agent.types import CitationPart, JsonObject, OpaquePart, Part

_CALL_FIELDS: Final = frozenset({"type", "id", "name", "input"})


@dataclass(slots=True)
class Block:
    """An open block.

    Attributes:
        kind: its type; whatever is not known here is kept whole for its server.
        fields: as it began.
        said_from: where in the message's text it began.
        call: the number of the call that it is.
        input: the pieces of a tool's input.
        citations: the sources of its text.
        signature: of its thoughts.
        has_thoughts: whether any were readable.
    """

    kind: str
    fields: JsonObject
    said_from: int = 0
    call: int | None = None
    input: TextBuffer = field(default_factory=TextBuffer)
    citations: list[JsonObject] = field(default_factory=list[JsonObject])
    signature: str = ""
    has_thoughts: bool = False

    @property
    def is_loose(self) -> bool:
        """Whether it holds thoughts that nothing marks the end of, so that those of a next block would seem to be theirs."""
        return self.kind == "thinking" and self.has_thoughts and not self.signature

    def cite(self, found: Any) -> None:
        """Take a source."""
        if is_object(found) and found not in self.citations:
            self.citations.append(found)

    def rest_of_input(self) -> str:
        """The input of a call that came whole with the block's beginning, as JSON; "" if it came in pieces or not at all."""
        found = self.fields.get("input")
        if self.input or not found:
            return ""
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)

    def parts(self, said_to: int) -> tuple[Part, ...]:
        """What is to be said of it at its end, the message's text being so long by then."""
        match self.kind:
            case "text":
                return self._citations(said_to)
            case "thinking":
                return self._signature()
            case "tool_use":
                return ()
            case _:
                return (OpaquePart(SOURCE, self._whole()),)

    def _citations(self, said_to: int) -> tuple[CitationPart, ...]:
        cited = (self.said_from, said_to) if said_to > self.said_from else (None, None)
        return tuple([part for found in self.citations if (part := citation_of(found, *cited)) is not None])

    def _signature(self) -> tuple[OpaquePart, ...]:
        signature = without_surrogates(self.signature)
        if not signature:
            return ()
        return (OpaquePart(SOURCE, {"signature": signature} if self.has_thoughts else {"type": "thinking", "thinking": "", "signature": signature}),)

    def _whole(self) -> JsonObject:
        made: JsonObject = without_surrogates(self.fields)
        if self.input:
            text = str(self.input)
            found = parsed(text)
            made["input"] = without_surrogates(found if is_object(found) else {"invalid_arguments": text})
        return made

    def call_extras(self) -> JsonObject | None:
        """What a call holds beside its id, name and input, and wants back."""
        extra: JsonObject = without_surrogates({name: value for name, value in self.fields.items() if name not in _CALL_FIELDS and value is not None})
        return {SOURCE: extra} if extra else None


LOOSE_END: Final = OpaquePart(SOURCE, {"signature": ""})
"""Stands between thoughts without a signature and those of a next block."""


def citations_in(fields: JsonObject) -> list[Any]:
    """The sources that a text block begins with."""
    found = fields.get("citations")
    return found if is_list(found) else []
