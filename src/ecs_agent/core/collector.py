"""Python's garbage collector in a process with very many agents.

A full collection walks every object there is: with 10,000 agents of 50 messages it stops everyone for about a tenth of a second, again and
again. What stood there before the run is not garbage, so it is set aside; and young objects are looked at less often, as nearly all of them
die by their reference count.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

YOUNG = 10_000
"""After so many new objects they are looked at, instead of 700."""


@contextmanager
def tuned_gc() -> Generator[None]:
    """Set aside all objects that exist now, and collect less often, until this is left. It holds for the whole process.

    `run_sync` does it by itself, since the process is its own. Thresholds that somebody else has set, and a collector that is switched off, are
    left as they are. Objects set aside that become garbage in circles are kept until this is left.
    """
    before = gc.get_threshold()
    gc.collect()
    mine = not gc.get_freeze_count()  # what somebody else has set aside stays so
    if mine:
        gc.freeze()
    if before[0] == 700:  # Python's own; 3.14 begins with 2,000 and collects in small steps
        gc.set_threshold(YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if mine:
            gc.unfreeze()


@contextmanager
def paused_gc() -> Generator[None]:
    """No collection meanwhile: for code that makes a great many objects, all of which stay, so that looking for garbage among them is in vain."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
