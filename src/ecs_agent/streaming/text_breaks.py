# ruff: noqa: RUF001, RUF002  # the marks of other scripts are this file's subject
"""Where a text that is still arriving can be cut: behind its last whole word, or behind its last whole sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

Cut: TypeAlias = Callable[[str, int], int]
"""How many characters at a text's beginning are whole; 0 when none are. The number tells how many of them were looked at before, in vain."""

# Scripts that are written without spaces: there every character may end a word.
_UNSPACED: Final = "\u2e80-\u312f\u31a0-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff9f\U00016fe0-\U00018dff\U0001aff0-\U0001b2ff\U00020000-\U0003ffff"
_WORDS: Final = re.compile(rf".*[\s{_UNSPACED}]", re.DOTALL)

_CLOSERS: Final = "\"'”’»›)\\]}*_`」』）】〉》〕｣"
# A run of marks is looked at from its first one only, so that a thousand dots cost a thousand steps and not a million.
_END: Final = re.compile(
    r"(?<!\n)\n+(?=[^\n])"
    rf"|(?<![。！？｡])[。！？｡]+[{_CLOSERS}]*(?=[^。！？｡{_CLOSERS}])"
    rf"|(?<![.!?…])(?P<mark>[.!?…]+)[{_CLOSERS}]*[^\S\n]+(?=\S)"
)
_OPENERS: Final = "\"'“‘«‹([{*_`"
# What an end may begin with: from here on it has to be looked at again when more has come.
_SPACES: Final = (
    " \t\n\v\f\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_UNDECIDED: Final = f"{_SPACES}.!?…。！？｡{_CLOSERS}"
_TITLES: Final = frozenset({"mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "vs", "fig", "cf"})

MOST_IN_A_WORD: Final = 64
MOST_IN_A_SENTENCE: Final = 2000


def whole_words(text: str, _seen: int = 0) -> int:
    """Where the last whole word ends: behind white space, or behind a character of a script without spaces (Chinese, Japanese).

    64 characters without an end (a URL, base64, Thai) are whole as they are.
    """
    found = _WORDS.match(text)
    if found is not None:
        return found.end()
    return len(text) if len(text) >= MOST_IN_A_WORD else 0


def whole_sentences(text: str, seen: int = 0) -> int:
    """Where the last whole sentence ends, the white space behind it included. What ends it is sure only when the next one has begun.

    It ends at a line break, at 。！？, and at . ! ? … before white space, closing quotes and brackets included. It does not where a lower-case
    letter follows, nor at a point inside or behind an abbreviation ("3.14", "e.g.", "U.S.", "J. Smith", "Dr. Who"), nor at a list's "1.".
    2,000 characters without an end are cut at their last word.
    """
    end = 0
    for found in _END.finditer(text, len(text[:seen].rstrip(_UNDECIDED))):
        mark = found["mark"]
        if mark is None or not (text[found.end()].islower() or (mark == "." and _goes_on(text[end : found.start()]))):
            end = found.end()
    return end or (whole_words(text) if len(text) >= MOST_IN_A_SENTENCE else 0)


def _goes_on(sentence: str) -> bool:
    """Whether the point behind these words belongs to the last of them."""
    words = sentence.split()
    last = words[-1].lstrip(_OPENERS) if words else ""
    if last.isdigit():
        return len(words) == 1
    return (len(last) == 1 and last.isalpha()) or "." in last or last.lower() in _TITLES
