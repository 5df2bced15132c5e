"""OpenAIProvider: any server that speaks the OpenAI chat protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Unpack

from ecs_agent.errors import BadRequestError, ProviderError
from ecs_agent.providers.capabilities import ASSUMED, Capabilities
from ecs_agent.providers.http.client import HTTPOptions
from ecs_agent.providers.http.provider import HTTPProvider
from ecs_agent.providers.http.sdk_client import SDKClient, refuse_client
from ecs_agent.providers.openai_chat.decoder import ChatDecoder
from ecs_agent.providers.openai_chat.request import encode_request
from ecs_agent.providers.protocol import ModelRequest
from ecs_agent.providers.secret import Secret
from ecs_agent.providers.settings import Settings, resolve
from ecs_agent.providers.wire.call_ids import missing_id
from ecs_agent.streaming.decoder import StreamDecoder
from ecs_agent.types import JsonObject

MOST_LEARNED: Final = 1024
"""Of so many models it is remembered what they do not take."""


@dataclass(frozen=True, slots=True)
class _Manner:
    """How a model is asked: whether a stream is to tell its usage, and what the limit of tokens is called."""

    include_usage: bool = True
    limit: str = "max_tokens"


class OpenAIChatCodec:
    """The chat protocol. A model is asked for usage in streams until it refuses to be asked, and the limit of tokens is called as it wants it."""

    def __init__(self) -> None:
        self._learned: dict[str, _Manner] = {}

    def path(self, request: ModelRequest) -> str:  # noqa: ARG002 - other protocols have the model in it
        """Always the same."""
        return "/chat/completions"

    def headers(self, request: ModelRequest) -> dict[str, str]:  # noqa: ARG002 - other protocols have some
        """None."""
        return {}

    def authorization(self, key: str) -> dict[str, str]:
        """The key as a bearer token."""
        return {"authorization": f"Bearer {key}"}

    def encode(self, request: ModelRequest) -> JsonObject:
        """The request's JSON."""
        manner = self._learned.get(request.model, _Manner())
        return encode_request(request, include_usage=manner.include_usage and request.stream, limit=manner.limit)

    def decoder(self, content_type: str, request: ModelRequest) -> StreamDecoder:
        """A decoder for the body that answers a request."""
        return ChatDecoder(content_type, call_id=partial(missing_id, request.messages))

    def withdraw(self, error: ProviderError, sent: JsonObject) -> bool:
        """Stop asking for usage, or say `max_completion_tokens`, where that is what was refused."""
        if not isinstance(error, BadRequestError):
            return False
        words, model = str(error), str(sent.get("model"))
        manner = self._learned.get(model, _Manner())
        if "stream_options" in sent and ("stream_options" in words or "include_usage" in words):
            manner = replace(manner, include_usage=False)
        elif "max_tokens" in sent and "max_completion_tokens" in words:
            manner = replace(manner, limit="max_completion_tokens")
        else:
            return False
        self._learned[model] = manner
        if len(self._learned) > MOST_LEARNED:
            del self._learned[next(iter(self._learned))]
        return True


OPENAI_KEYS: Final = ("OPENAI_API_KEY", "LLM_API_KEY")
"""The variables that may hold the key for a server of OpenAI's protocols."""


def openai_settings(
    api_key: str | Secret | None, base_url: str | None, model: str | None, key_names: Sequence[str], client: SDKClient | None, *, allow_http: bool
) -> Settings:
    """Whom a provider of OpenAI's protocols asks, and with which key.

    Raises:
        ConfigurationError: as `resolve`.
    """
    refuse_client(client, "AsyncAnthropic")
    return resolve(
        api_key=api_key,
        base_url=base_url,
        model=model,
        key_names=key_names,
        url_names=("OPENAI_BASE_URL", "LLM_BASE_URL"),
        default_url="https://api.openai.com/v1",
        allow_http=allow_http,
        needs_key=bool(key_names),
        client=client,
    )


class OpenAIProvider(HTTPProvider):
    """Asks a server that speaks the OpenAI chat protocol, by posting to `{base_url}/chat/completions`.

    Args:
        api_key: else `OPENAI_API_KEY` or `LLM_API_KEY`; a server on this machine needs none.
        base_url: else `OPENAI_BASE_URL` or `LLM_BASE_URL`, else OpenAI's own; with or without `/chat/completions` at its end.
        model: else `LLM_MODEL`.
        name: how errors and logs call this provider.
        capabilities: what the server, with this model, can do; many that are no OpenAI go on behind an assistant's last message (`prefill`).
        client: an `AsyncOpenAI`, or one like it (`AsyncAzureOpenAI`), which then sends the requests with its own key, address, retries, timeouts and
            proxies; we only read what comes. It takes the place of `api_key` and `base_url`, `connect_timeout` says nothing then, and whoever made
            it closes it.
        key_names: the environment variables that may hold the key; without any none is taken from there, and none is needed.
        http: time limits, headers, proxy and the like; see `HTTPOptions`.

    Raises:
        ConfigurationError: there is no model, no key for another machine's server, the URL cannot be used, or `client` is no asynchronous client.
    """

    def __init__(
        self,
        api_key: str | Secret | None = None,
        base_url: str | None = None,
        model: str | None = None,
        *,
        name: str = "openai",
        capabilities: Capabilities = ASSUMED,
        client: SDKClient | None = None,
        key_names: Sequence[str] = OPENAI_KEYS,
        **http: Unpack[HTTPOptions],
    ) -> None:
        address = base_url.strip().rstrip("/").removesuffix("/chat/completions") if base_url is not None else None
        settings = openai_settings(api_key, address, model, key_names, client, allow_http=http.get("allow_http", False))
        super().__init__(OpenAIChatCodec(), settings, name=name, capabilities=capabilities, **http)
