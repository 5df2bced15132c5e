"""In what two requests differ: the places, and a short unified diff."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from difflib import unified_diff
from itertools import islice
from typing import Any, Final

from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.types import JsonObject

MOST_LINES: Final = 40
MOST_PLACES: Final = 5
WIDTH: Final = 100

_PLACE: Final = re.compile(r"^(.*?): ")
_WORD: Final = re.compile(r"\w+")


def distance(recorded: JsonObject, asked: JsonObject) -> tuple[int, int]:
    """How many lines of them differ, and how many words in these lines."""
    lines, others = Counter(request_lines(recorded)), Counter(request_lines(asked))
    return _different(lines, others), _different(_words(lines - others), _words(others - lines))


def _different(one: Counter[str], other: Counter[str]) -> int:
    return ((one - other) + (other - one)).total()


def _words(lines: Counter[str]) -> Counter[str]:
    return Counter(_WORD.findall(" ".join(lines.elements())))


def explain(recorded: JsonObject, asked: JsonObject, name: str) -> str:
    """The end of a sentence: where they differ, and a diff.

    Args:
        recorded: the one.
        asked: the other.
        name: how to call the recorded one.
    """
    lines, others = request_lines(recorded), request_lines(asked)
    diff = [line.rstrip() for line in unified_diff(lines, others, f"recorded ({name})", "asked", n=1, lineterm="")]
    places = list(dict.fromkeys([found[1] for line in diff[2:] if line[0] in "+-" and (found := _PLACE.match(line[1:]))]))
    if not places:
        return f"the nearest one ({name}) is the same, but was made by another provider"
    named = ", ".join(places[:MOST_PLACES]) + (f" and {len(places) - MOST_PLACES} more places" if len(places) > MOST_PLACES else "")
    shown = [*islice(diff, MOST_LINES), *(["…"] if len(diff) > MOST_LINES else [])]
    return f"the nearest one ({name}) differs in {named}:\n" + "\n".join(shown)


def request_lines(asked: JsonObject) -> list[str]:
    """A request as lines of text, each of which begins with its place; a long text has several lines."""
    return list(_lines("", asked))


def _lines(place: str, value: Any) -> Iterator[str]:
    if is_object(value) and value:
        for name in sorted(value) if place else value:
            yield from _lines(f"{place}.{name}" if place else name, value[name])
    elif is_list(value) and value:
        for number, item in enumerate(value):
            yield from _lines(f"{place}[{number}]", item)
    elif isinstance(value, str):
        for paragraph in value.split("\n"):
            for line in textwrap.wrap(paragraph, WIDTH, drop_whitespace=False, break_on_hyphens=False) or [""]:
                yield f"{place}: {json.dumps(line, ensure_ascii=False)}"
    else:
        yield f"{place}: {json.dumps(value)}"
