"""AnthropicProvider: Claude, and any server that speaks Anthropic's Messages protocol."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Unpack

from ecs_agent.errors import BadRequestError, ConfigurationError, ProviderError
from ecs_agent.providers.anthropic_messages.decoder import MessagesDecoder
from ecs_agent.providers.anthropic_messages.models import claude_capabilities
from ecs_agent.providers.anthropic_messages.request import Caching, Manner, count_body, encode_request
from ecs_agent.providers.anthropic_messages.turns import unsent_blanks
from ecs_agent.providers.capabilities import Capabilities
from ecs_agent.providers.http.client import HTTPOptions
from ecs_agent.providers.http.counting import CountingHTTPProvider
from ecs_agent.providers.http.sdk_client import SDKClient, refuse_client
from ecs_agent.providers.protocol import ModelRequest
from ecs_agent.providers.secret import Secret
from ecs_agent.providers.settings import resolve
from ecs_agent.providers.wire.call_ids import missing_id
from ecs_agent.streaming.decoder import StreamDecoder
from ecs_agent.streaming.json_edge import is_object, whole_count
from ecs_agent.types import JsonObject

MAX_TOKENS: Final = 32_000
"""The most tokens of an answer that no request limits. Every model since Claude 4 gives as many; one that gives fewer says how many."""

ANTHROPIC_VERSION: Final = "2023-06-01"
_TOO_MANY: Final = re.compile(r"max_tokens: (\d{1,9}) > (\d{1,9})")


class AnthropicMessagesCodec:
    """The Messages protocol. What a model turns out not to take is asked of it in another way from then on.

    Args:
        max_tokens: the most tokens of an answer that no request limits.
        cache: see `AnthropicProvider`.
        betas: names of features that are not for everybody yet.
        bearer: the key is sent as a bearer token.
    """

    def __init__(self, *, max_tokens: int = MAX_TOKENS, cache: Caching = "auto", betas: Sequence[str] = (), bearer: bool = False) -> None:
        self._manner = Manner(max_tokens, caching=cache)
        self._learned: dict[str, Manner] = {}
        self._betas = ",".join(betas)
        self._bearer = bearer

    def path(self, request: ModelRequest) -> str:  # noqa: ARG002 - other protocols have the model in it
        """Always the same."""
        return "/v1/messages"

    def headers(self, request: ModelRequest) -> dict[str, str]:  # noqa: ARG002 - the same for all
        """The protocol's version, and the features that are asked for."""
        return {"anthropic-version": ANTHROPIC_VERSION, **({"anthropic-beta": self._betas} if self._betas else {})}

    def authorization(self, key: str) -> dict[str, str]:
        """The key in a header of its own, or as a bearer token."""
        return {"authorization": f"Bearer {key}"} if self._bearer else {"x-api-key": key}

    def encode(self, request: ModelRequest) -> JsonObject:
        """The request's JSON.

        Raises:
            UnsupportedFeatureError: an option, or a part of a message, that the protocol has no words for.
        """
        return encode_request(request, self._learned.get(request.model, self._manner))

    def count_path(self, request: ModelRequest) -> str:  # noqa: ARG002 - other protocols have the model in it
        """Where requests are counted."""
        return "/v1/messages/count_tokens"

    def count_body(self, request: ModelRequest) -> JsonObject:
        """What is posted there.

        Raises:
            UnsupportedFeatureError: as `encode`.
        """
        return count_body(self.encode(request))

    def tokens_in(self, found: Any) -> int | None:
        """The count in an answer."""
        return whole_count(found.get("input_tokens")) if is_object(found) else None

    def decoder(self, content_type: str, request: ModelRequest) -> StreamDecoder:
        """A decoder for the body that answers a request."""
        return MessagesDecoder(content_type, call_id=partial(missing_id, request.messages), unsent=unsent_blanks(request.messages))

    def withdraw(self, error: ProviderError, sent: JsonObject) -> bool:
        """Ask for fewer tokens, or for thoughts in the other way, where that is what a model refused.

        Requests that were under way when it was learned are refused the same, and are sent again as well.
        """
        if not isinstance(error, BadRequestError):
            return False
        model, words = str(sent.get("model")), str(error)
        known = self._learned.get(model, self._manner)
        told = _TOO_MANY.search(words)
        asked = sent.get("thinking")
        thinking = asked.get("type") if is_object(asked) else None
        other_way = thinking == "enabled"
        if told is not None and int(told[1]) == sent.get("max_tokens"):
            self._learned[model] = replace(known, max_tokens=min(known.max_tokens, int(told[2])))
        elif thinking in ("adaptive", "enabled") and "adaptive" in words and known.adaptive in (None, other_way):  # else both are refused
            self._learned[model] = replace(known, adaptive=other_way)
        elif thinking == "disabled" and "thinking" in words and "disabled" in words:
            self._learned[model] = replace(known, may_be_told_not_to_think=False)
        else:
            return False
        return True


class AnthropicProvider(CountingHTTPProvider):
    """Asks Claude, or another server that speaks the Messages protocol, by posting to `{base_url}/v1/messages`.

    `ANTHROPIC_API_KEY`, or a key that is given, goes to `ANTHROPIC_BASE_URL`, or to Anthropic itself. Where none of these is there, `LLM_API_KEY`
    goes to `LLM_BASE_URL`. No key of one of these pairs is ever sent to the other's address.

    Args:
        api_key: else the environment's, as above; a server on this machine needs none.
        base_url: with or without the `/v1` or `/v1/messages` at its end; else the environment's, else Anthropic's own.
        model: else `LLM_MODEL`.
        auth_token: sent as a bearer token in place of an API key; else `ANTHROPIC_AUTH_TOKEN`.
        max_tokens: the most tokens an answer may have, its thoughts included, where a request does not say. The protocol wants a number.
        cache: whether the server is to keep the beginnings of requests, so that the same beginning costs a tenth the next time: "auto" where a next
            time is likely (there are tools, or the assistant has spoken), "always", or "none". What is kept costs a quarter more once.
        betas: features that are not for everybody yet, by their names.
        name: how errors and logs call this provider.
        capabilities: what the server, with this model, can do; by default what the model's name tells.
        client: an `AsyncAnthropic`, or one like it (`AsyncAnthropicVertex`), which then sends the requests with its own key, address, retries,
            timeouts and proxies; we only read what comes. It takes the place of `api_key`, `auth_token` and `base_url`; whoever made it closes it.
        key_names: the environment variables that may hold the key, in place of those above; without any none is taken from there, and none is needed.
        http: time limits, headers, proxy and the like; see `HTTPOptions`.

    Raises:
        ConfigurationError: there is no model, no key for another machine's server, there are two, the URL cannot be used, or `client` is no
            asynchronous client.
    """

    def __init__(
        self,
        api_key: str | Secret | None = None,
        base_url: str | None = None,
        model: str | None = None,
        *,
        auth_token: str | Secret | None = None,
        max_tokens: int = MAX_TOKENS,
        cache: Caching = "auto",
        betas: Sequence[str] = (),
        name: str = "anthropic",
        capabilities: Capabilities | None = None,
        client: SDKClient | None = None,
        key_names: Sequence[str] | None = None,
        **http: Unpack[HTTPOptions],
    ) -> None:
        if api_key is not None and auth_token is not None:
            raise ConfigurationError("api_key and auth_token are both given; give the one that the server wants")
        if cache not in ("auto", "always", "none"):
            raise ConfigurationError(f"cache is {cache!r}; give 'auto', 'always' or 'none'")
        if isinstance(betas, str):
            raise ConfigurationError(f"betas is one text; give a list: betas=[{betas!r}]")
        refuse_client(client, "AsyncOpenAI")
        is_told = any(given is not None for given in (api_key, auth_token, base_url, client, key_names))
        names, url_name = _variables(is_told=is_told)
        names = names if key_names is None else tuple(key_names)
        bearer = auth_token is not None or (api_key is None and names[:1] == ("ANTHROPIC_AUTH_TOKEN",))
        settings = resolve(
            api_key=auth_token if auth_token is not None else api_key,
            base_url=base_url,
            model=model,
            key_names=names,
            url_names=(url_name,),
            default_url="https://api.anthropic.com",
            allow_http=http.get("allow_http", False),
            needs_key=bool(names),
            client=client,
        )
        if client is None:
            settings = replace(settings, base_url=_root(settings.base_url))
        codec = AnthropicMessagesCodec(max_tokens=max_tokens, cache=cache, betas=betas, bearer=bearer)
        can = capabilities if capabilities is not None else claude_capabilities(settings.model)
        super().__init__(codec, settings, name=name, capabilities=can, **http)

    @property
    def base_url(self) -> str:
        """The server's address, without what every request has behind it; whoever sets it sends the key there."""
        return self._client.base_url

    @base_url.setter
    def base_url(self, url: str) -> None:
        self._client.base_url = _root(url)


ClaudeProvider = AnthropicProvider
"""The same under the name that the reference has for it."""


def _variables(*, is_told: bool) -> tuple[tuple[str, ...], str]:
    """Which variables are asked for a key, and which for the URL. `LLM_…` is asked for both or for none, and only where nothing else says either."""
    own = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
    if not is_told and os.environ.get("LLM_BASE_URL") and not any(os.environ.get(name) for name in ("ANTHROPIC_BASE_URL", *own)):
        return ("LLM_API_KEY",), "LLM_BASE_URL"
    return (next((name for name in own if os.environ.get(name)), own[0]),), "ANTHROPIC_BASE_URL"


def _root(url: str) -> str:
    """The URL without the parts of the path that every request has."""
    return url.rstrip("/").removesuffix("/messages").removesuffix("/v1")
