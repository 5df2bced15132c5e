"""Text of models and tools, made safe for a terminal.

What a model writes may hold escape sequences: they move the cursor over what was said before, rename the window, fill the clipboard. Nothing
of the kind gets out of here, however the text was cut into pieces:

* a complete escape sequence (CSI, OSC, DCS, SOS, PM, APC, charset, two-character; with ESC or as one C1 character) is dropped;
* one that never completes is shown as text, its ESC as "␛", so that an opened sequence cannot swallow the answer behind it;
* any other control character is shown as its picture ("␇", "␍"), a C1 control and a lone surrogate as "�"; newline and tab stay;
* bidirectional embeddings, overrides and isolates (U+202A-202E, U+2066-2069) are dropped: they make text read otherwise than it is stored.

Everything else passes unchanged. The syntax of sequences is that of ECMA-48, section 5, as terminals read it.
"""

from __future__ import annotations

import re

_LONGEST = 4096  # characters of one sequence; terminals, too, give up on longer ones

_BIDI = "\u202a-\u202e\u2066-\u2069"
_SUSPECT = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDI}\ud800-\udfff]")

_CSI = rf"(?:\x1b\[|\x9b)[0-?]{{0,{_LONGEST}}}[ -/]{{0,{_LONGEST}}}"
# The body of a string sequence ends at every other control, so reading many opened ones takes linear time.
_STRING = rf"(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x00-\x08\x0a-\x1f\x7f-\x9f]{{0,{_LONGEST}}}"
_SHORT = r"\x1b(?![][PX^_])[ -/]{0,8}"

_DROPPED = re.compile(rf"{_CSI}[@-~]|{_STRING}(?:\x07|\x1b\\|\x9c)|{_SHORT}[0-~]|\r(?=\n)|[{_BIDI}]")
_OPEN = re.compile(rf"(?:{_CSI}|{_STRING}\x1b?|{_SHORT}|\r)\Z")


class TerminalSanitizer:
    """Makes a stream of text safe; what may be the beginning of a sequence is held back until the next piece decides.

    One sanitiser serves one stream. At most one sequence (4 KiB) is ever held back.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """The safe text that is certain after this piece."""
        safe, self._held = _scan(self._held + text, last=False)
        return safe

    def flush(self) -> str:
        """What was held back, shown as text. The sanitiser is then as new."""
        safe, self._held = _scan(self._held, last=True)
        return safe


def sanitize(text: str) -> str:
    """A whole text made safe for a terminal."""
    return _scan(text, last=True)[0]


def one_line(text: str, limit: int = 0) -> str:
    """A whole text made safe and put on one line: runs of white space become one space, and above `limit` characters it ends in "…"."""
    line = " ".join(sanitize(text).split())
    return line if not limit or len(line) <= limit else line[: max(limit - 1, 0)].rstrip() + "…"


def _scan(text: str, *, last: bool) -> tuple[str, str]:
    """The safe form of a text, and the end of it that cannot be judged yet (nothing if this is the last piece)."""
    safe: list[str] = []
    done = 0
    while (suspect := _SUSPECT.search(text, done)) is not None:
        at = suspect.start()
        safe.append(text[done:at])
        if not last and _OPEN.match(text, at):
            return "".join(safe), text[at:]
        if dropped := _DROPPED.match(text, at):
            done = dropped.end()
        else:
            safe.append(_picture(text[at]))
            done = at + 1
    safe.append(text[done:])
    return "".join(safe), ""


def _picture(control: str) -> str:
    code = ord(control)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else "�"
