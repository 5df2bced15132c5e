"""OpenAIEmbeddingProvider: any server that speaks the OpenAI protocol of embeddings."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce
from operator import add
from typing import Self, Unpack

from ecs_agent.core.tasks import gather
from ecs_agent.errors import MalformedResponseError
from ecs_agent.providers.embeddings.openai_wire import OpenAIEmbeddingCodec, batches, check_batch_size, check_lengths, read_answer
from ecs_agent.providers.embeddings.protocol import EmbeddingResult, check_dimensions, checked_texts
from ecs_agent.providers.http.client import Call, HTTPClient, HTTPOptions
from ecs_agent.providers.http.option_names import check_http_options
from ecs_agent.providers.http.sdk_client import SDKClient
from ecs_agent.providers.openai import OPENAI_KEYS, openai_settings
from ecs_agent.providers.retries import Retries
from ecs_agent.providers.secret import Secret
from ecs_agent.types import JsonObject, RetryConfig, Usage


class OpenAIEmbeddingProvider:
    """Asks a server that speaks the OpenAI protocol, by posting to `{base_url}/embeddings`.

    Texts are sent in batches, a few at a time; each is a request of its own with its own time limits. When one fails no other is begun and
    nothing is returned. Nothing is asked twice unless `retry_config` says when: the error says whether that may help (`retryable`, `retry_after`).

    Args:
        api_key: else `OPENAI_API_KEY` or `LLM_API_KEY`; a server on this machine needs none.
        base_url: else `OPENAI_BASE_URL` or `LLM_BASE_URL`, else OpenAI's own.
        model: else `LLM_MODEL`.
        name: how errors call this provider.
        batch_size: how many texts a request has at most. Many servers take fewer than OpenAI's 2048; a batch also ends before it holds more bytes
            than OpenAI takes tokens.
        parallel: how many requests are under way at once.
        retry_config: when a request that failed is made again, each by itself; never by default.
        client: an `AsyncOpenAI`, or one like it (`AsyncAzureOpenAI`), that sends the requests; see `OpenAIProvider`.
        key_names: the environment variables that may hold the key; without any none is taken from there, and none is needed.
        http: time limits, headers, proxy and the like; see `HTTPOptions`. Those of streams do not apply.

    Raises:
        ConfigurationError: there is no model, no key for another machine's server, or the URL cannot be used.
        ValueError: `batch_size` or `parallel` is out of range.
    """

    def __init__(
        self,
        api_key: str | Secret | None = None,
        base_url: str | None = None,
        model: str | None = None,
        *,
        name: str = "openai",
        batch_size: int = 256,
        parallel: int = 4,
        retry_config: RetryConfig | None = None,
        client: SDKClient | None = None,
        key_names: Sequence[str] = OPENAI_KEYS,
        **http: Unpack[HTTPOptions],
    ) -> None:
        if parallel < 1:
            raise ValueError(f"parallel is {parallel}; give at least 1")
        check_http_options(self, http)
        settings = openai_settings(api_key, base_url, model, key_names, client, allow_http=http.get("allow_http", False))
        self.name = name
        self.model = settings.model
        self._batch_size = check_batch_size(batch_size)
        self._parallel = parallel
        self._retries = Retries(retry_config if retry_config is not None else RetryConfig(max_attempts=1))
        self._codec = OpenAIEmbeddingCodec()
        self._client = HTTPClient(settings, self._codec.authorization, name=name, **http)

    @property
    def base_url(self) -> str:
        """The server's address; whoever sets it sends the key there."""
        return self._client.base_url

    @base_url.setter
    def base_url(self, url: str) -> None:
        self._client.base_url = url

    def __repr__(self) -> str:
        return f"OpenAIEmbeddingProvider(model={self.model!r}, base_url={self.base_url!r})"

    async def embed(
        self,
        texts: Sequence[str],
        *,
        model: str | None = None,
        dimensions: int | None = None,
        extra_body: JsonObject | None = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> EmbeddingResult:
        """The vectors of texts; see `EmbeddingProvider`. Usage is the sum over all requests, None unless all of them said theirs.

        Args:
            texts: what is embedded; most servers refuse an empty one.
            model: replaces the provider's own.
            dimensions: how many numbers a vector is to have.
            extra_body: merged into each request's JSON last, as the `input_type` of servers that embed questions otherwise than documents.
            extra_headers: of each request.

        Raises:
            ProviderError: one of its leaves, each with a sentence that says what to do.
            TypeError: `texts` is one text, or holds something else than texts.
            ValueError: `dimensions` is less than 1.
        """
        check_dimensions(dimensions)
        listed = checked_texts(texts)
        asked = model or self.model
        if not listed:
            return EmbeddingResult((), asked, Usage(0, 0, 0))
        ask = partial(self._answered, model=asked, dimensions=dimensions, extra_body=extra_body or {}, extra_headers=extra_headers or {})
        waiting = deque(enumerate(batches(listed, self._batch_size)))
        answers: dict[int, EmbeddingResult] = {}

        async def work() -> None:
            try:
                while waiting:
                    at, batch = waiting.popleft()
                    answers[at] = await self._retries.of(partial(ask, batch), self.name)
            except BaseException:
                waiting.clear()  # nobody begins what nobody will get
                raise

        await gather([work() for _ in range(min(self._parallel, len(waiting)))])
        return self._joined([answers[at] for at in range(len(answers))], asked)

    async def _answered(
        self, texts: Sequence[str], *, model: str, dimensions: int | None, extra_body: JsonObject, extra_headers: Mapping[str, str]
    ) -> EmbeddingResult:
        encode = partial(self._codec.encode, texts, model, dimensions, extra_body)
        limits = replace(self._client.limits, first_delta=None)
        call = Call("/embeddings", encode, self._codec.withdraw, model, limits, extra_headers)
        return await self._client.fetch(call, partial(read_answer, count=len(texts), model=model, dimensions=dimensions))

    def _joined(self, results: Sequence[EmbeddingResult], asked: str) -> EmbeddingResult:
        """The results of several requests as one."""
        vectors = tuple([vector for result in results for vector in result.vectors])
        try:
            check_lengths(vectors, None)
        except MalformedResponseError as error:
            error.provider, error.model = self.name, asked
            raise
        said = [result.usage for result in results if result.usage is not None]
        return EmbeddingResult(vectors, results[0].model, reduce(add, said) if len(said) == len(results) else None)

    async def aclose(self) -> None:
        """Close idle connections; safe to call twice."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
