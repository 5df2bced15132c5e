"""A model that runs on this machine, and whoever asks its server: what chat and embeddings share."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from ecs_agent.errors import ConfigurationError, ProviderConnectionError
from ecs_agent.providers.http.client import default_transport
from ecs_agent.providers.local import weights as local_weights
from ecs_agent.providers.local.server import LocalServer, ServerOptions
from ecs_agent.providers.secret import Secret
from ecs_agent.providers.settings import Settings
from ecs_agent.providers.transport import Transport

EMBEDDED = "smollm2-135m-instruct"


class Closable(Protocol):
    """What asks the server."""

    async def aclose(self) -> None:
        """Close its connections."""
        ...


P = TypeVar("P", bound=Closable)
T = TypeVar("T")


class LocalModel(Generic[P]):
    """A model process that starts when first asked, and starts again when it died, with a provider that asks it.

    Args:
        options: how the model is run.
        connect: makes the provider, from where the server is and a transport that outlives the process.
    """

    def __init__(self, options: ServerOptions, connect: Callable[[Settings, Transport], P]) -> None:
        self._server = LocalServer(options)
        self._name = options.name
        self._connect = connect
        self._transport = default_transport()
        self._provider: P | None = None
        self._key = ""

    async def start(self) -> P:
        """Start the process unless it runs, and return the provider that asks it."""
        url, key = await self._server.start(), self._server.key
        if self._provider is None or self._key != key:  # each process has a key of its own
            self._provider, self._key = self._connect(Settings(f"{url}/v1", self._name, Secret(key)), self._transport), key
        return self._provider

    async def ask(self, question: Callable[[P], Awaitable[T]]) -> T:
        """Ask the provider; once more if the process died since the last request.

        Raises:
            ConfigurationError: the package is missing or the model cannot be loaded.
            ProviderError: the model process failed.
        """
        provider = await self.start()
        try:
            return await question(provider)
        except ProviderConnectionError:
            if self._server.running:
                raise
        return await question(await self.start())

    async def aclose(self) -> None:
        """End the process; the next request starts a new one."""
        provider, self._provider = self._provider, None
        if provider is not None:
            await provider.aclose()
        await self._server.aclose()


def model_file(path: str | Path | None) -> Path:
    """A GGUF file; the embedded model's without a path.

    Raises:
        ConfigurationError: the weights are not installed, or the file does not exist.
    """
    file = local_weights.require() if path is None else Path(path).expanduser()
    if not file.is_file():
        raise ConfigurationError(f"there is no model file {file}")
    return file


def threads_or_default(threads: int | None) -> int:
    """So many threads; all cores but one by default."""
    return threads if threads is not None else max(1, (os.cpu_count() or 2) - 1)
