"""Ctrl-C, heard by the event loop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Self


class Interrupts:
    """While it is entered, Ctrl-C calls `press` and does nothing else.

    Where the event loop cannot handle signals (Windows, or another thread than the main one), asyncio's own handling stays.

    Attributes:
        are_heard: whether `press` is called.
    """

    def __init__(self, press: Callable[[], object]) -> None:
        self._heard = press
        self._loop = asyncio.get_running_loop()
        self.are_heard = False

    def __enter__(self) -> Self:
        try:
            self._loop.add_signal_handler(signal.SIGINT, self._heard)
            self.are_heard = True
        except (NotImplementedError, RuntimeError, ValueError):
            pass  # not on this platform, or not in this thread
        return self

    def __exit__(self, *_: object) -> None:
        if self.are_heard:
            self._loop.remove_signal_handler(signal.SIGINT)
