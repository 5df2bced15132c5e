"""LocalEmbeddingProvider: embeddings of a model on this machine, without a key and without a server of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal, Self, TypeAlias

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.embeddings.openai import OpenAIEmbeddingProvider
from ecs_agent.providers.embeddings.openai_wire import check_batch_size
from ecs_agent.providers.embeddings.protocol import EmbeddingResult, checked_texts
from ecs_agent.providers.local.model import EMBEDDED, LocalModel, model_file, threads_or_default
from ecs_agent.providers.local.server import ServerOptions
from ecs_agent.providers.settings import Settings
from ecs_agent.providers.transport import Transport
from ecs_agent.types import Usage

NAME = "local"

Pooling: TypeAlias = Literal["mean", "cls", "last"]
"""How the vectors of a text's tokens become that of the text: their mean, the first one, the last one."""


class LocalEmbeddingProvider:
    """Runs a model in a child process and asks it for vectors of length 1; the process starts with the first request.

    By default it is the embedded SmolLM2-135M-Instruct, which was made to talk and not to embed: it shows that everything works, and its vectors
    tell little about what texts mean. Give a GGUF file that was made for embeddings.

    Args:
        model_path: a GGUF file; the embedded model by default.
        pooling: how a text's tokens become one vector; by default what the file says, and the mean for the embedded model.
        context: tokens of one text; a longer one is refused.
        slots: how many texts are computed at once.
        threads: how many threads compute; all cores but one by default.
        batch_size: how many texts a request has at most.
        start_timeout: seconds until the model must be ready.

    Raises:
        ConfigurationError: the weights are not installed, or the file does not exist.
        ValueError: `batch_size` is out of range.
    """

    def __init__(
        self,
        model_path: str | Path | None = None,
        *,
        pooling: Pooling | None = None,
        context: int = 512,
        slots: int = 2,
        threads: int | None = None,
        batch_size: int = 32,
        start_timeout: float = 30.0,
    ) -> None:
        file = model_file(model_path)
        embedded = model_path is None
        self.name = NAME
        self.model = EMBEDDED if embedded else file.stem
        pooling = "mean" if pooling is None and embedded else pooling
        threads = threads_or_default(threads)
        options = ServerOptions(file, self.model, None, context, slots, threads, start_timeout, embeds=True, pooling=pooling)
        self._local = LocalModel(options, partial(_connected, check_batch_size(batch_size)))

    def __repr__(self) -> str:
        return f"LocalEmbeddingProvider(model={self.model!r})"

    async def embed(self, texts: Sequence[str], *, model: str | None = None, dimensions: int | None = None) -> EmbeddingResult:
        """The vectors of texts; see `EmbeddingProvider`. There is one model, so `model` is only a name.

        Raises:
            ConfigurationError: the package is missing or the model cannot be loaded.
            ProviderError: a text is longer than `context`, or the model process failed.
            UnsupportedFeatureError: `dimensions` was given; the server cannot shorten vectors.
            TypeError: `texts` is one text, or holds something else than texts.
        """
        if dimensions is not None:
            raise UnsupportedFeatureError("a local model's vectors have the length that the model gives them; leave dimensions out")
        listed = checked_texts(texts)
        if not listed:
            return EmbeddingResult((), model or self.model, Usage(0, 0, 0))
        return await self._local.ask(lambda provider: provider.embed(listed, model=model))

    async def aclose(self) -> None:
        """End the process; the next request starts a new one."""
        await self._local.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _connected(batch_size: int, settings: Settings, transport: Transport) -> OpenAIEmbeddingProvider:
    return OpenAIEmbeddingProvider(
        settings.key,
        settings.base_url,
        settings.model,
        name=NAME,
        batch_size=batch_size,
        parallel=1,  # the slots share the cores, so a second request would only wait
        read_timeout=None,  # how long a batch takes depends on this machine
        transport=transport,
    )
