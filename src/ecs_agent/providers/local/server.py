"""The owner of the process that runs a local model: starts it, waits until it is healthy, and makes sure that it ends.

The process listens on 127.0.0.1 at a free port and asks for a random key, which it is told over its standard input. It ends when that closes, so
it ends with its owner, however that ends. Nothing here belongs to an event loop, so one server may serve several loops one after another.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecs_agent.errors import ConfigurationError, ProviderConnectionError
from ecs_agent.streaming.json_edge import is_object

CHILD = Path(__file__).with_name("_child.py")
LAST_WORDS = 2.0
"""Seconds for the end of what a process that ended has said: its outputs close one after the other."""
HINTS = {
    "import": "The embedded model needs the package xllamacpp; run `pip install 'ecs-agent[local]'`",
    "model": "The model could not be loaded",
}


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a model is run.

    Attributes:
        model: the GGUF file.
        name: how the server calls the model.
        template: a chat template that replaces the model's own.
        context: tokens of one conversation.
        slots: how many answers are computed at once; others wait.
        threads: how many threads compute.
        start_timeout: seconds until it must be healthy.
        embeds: it gives vectors of texts, and no answers.
        pooling: how the vectors of a text's tokens become one: "mean", "cls" or "last"; None is what the model file says.
    """

    model: Path
    name: str
    template: str | None
    context: int
    slots: int
    threads: int
    start_timeout: float
    embeds: bool = False
    pooling: str | None = None


class LocalServer:
    """One model process, started when first asked for, and started again when it died.

    Args:
        options: how the model is run.
        child: the program that runs it.
    """

    def __init__(self, options: ServerOptions, *, child: Path = CHILD) -> None:
        self._options = options
        self._child = child
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None
        self._url = ""
        self._healthy = False
        self.key = ""

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    async def start(self) -> str:
        """The address of the healthy server.

        Raises:
            ConfigurationError: the package is missing or the model cannot be loaded.
            ProviderConnectionError: it did not become healthy in time.
        """
        return self._url if self._healthy and self.running else await asyncio.to_thread(self._start)

    def _start(self) -> str:
        with self._lock:
            if not self.running:
                self.stop()
                self._launch()
            return self._url

    def _launch(self) -> None:
        self.key = secrets.token_urlsafe(32)
        options = self._options
        process = subprocess.Popen(
            [sys.executable, str(self._child)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},  # spinning threads cost many times the work
        )
        self._process = process
        self._finalizer = weakref.finalize(self, _end, process)
        words: deque[str] = deque(maxlen=20)
        listener = threading.Thread(target=_listen, args=(process, words), daemon=True)
        listener.start()
        settings = {
            "model": str(options.model),
            "name": options.name,
            "api_key": self.key,
            "slots": options.slots,
            "context": options.context,
            "threads": options.threads,
            "template": options.template,
            "embeds": options.embeds,
            "pooling": options.pooling,
        }
        patience = threading.Timer(options.start_timeout, process.kill)
        patience.start()
        try:
            self._url = self._first_words(process, settings, listener, words)
            self._wait_until_healthy(time.monotonic() + options.start_timeout)
            self._healthy = True
        except BaseException:
            self.stop()
            raise
        finally:
            patience.cancel()

    def _first_words(self, process: subprocess.Popen[bytes], settings: dict[str, Any], listener: threading.Thread, words: deque[str]) -> str:
        if process.stdin is None or process.stdout is None:
            raise ProviderConnectionError("the model process has no pipes")
        with suppress(OSError):  # one that has failed already does not listen, and has said why
            process.stdin.write(json.dumps(settings).encode() + b"\n")
            process.stdin.flush()
        try:
            heard: Any = json.loads(process.stdout.readline() or b"{}")
        except (OSError, ValueError):
            heard = None
        answer = heard if is_object(heard) else {}
        if "url" in answer:
            return str(answer["url"])
        listener.join(LAST_WORDS)
        said = answer.get("message") or " ".join(words) or "it said nothing"
        if answer.get("error") in HINTS:
            raise ConfigurationError(f"{HINTS[answer['error']]} ({str(said)[-500:]})")
        raise ProviderConnectionError(f"the model process ended, or was not ready within {self._options.start_timeout:g} s; it said: {said[-500:]}")

    def _wait_until_healthy(self, deadline: float) -> None:
        while True:
            try:
                with urllib.request.urlopen(f"{self._url}/health", timeout=5) as response:  # noqa: S310 - our own child on loopback
                    if response.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass  # not yet
            if not self.running or time.monotonic() > deadline:
                raise ProviderConnectionError(f"the model process was not healthy within {self._options.start_timeout:g} s")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the process, and wait until it has ended; safe to call twice."""
        self._forgotten()()

    async def aclose(self) -> None:
        """The same, while the event loop goes on."""
        await asyncio.to_thread(self._forgotten())

    def _forgotten(self) -> Callable[[], object]:
        """Forget the process, so that the next request starts another, and return what ends it."""
        end, self._finalizer = self._finalizer, None
        self._process, self._healthy = None, False
        return end if end is not None else _nothing


def _nothing() -> None:
    """There is no process to end."""


def _listen(process: subprocess.Popen[bytes], words: deque[str]) -> None:
    """Keep the last lines the process said, for an error."""
    if process.stderr is not None:
        for line in process.stderr:
            words.append(line.decode(errors="replace").strip()[:500])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close its input, which ends it; one that does not end is killed."""
    if process.stdin is not None:
        try:
            process.stdin.close()
        except OSError:
            pass  # it ended before it had read everything
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
