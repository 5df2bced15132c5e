"""Providers over HTTP whose server counts tokens: a codec of three more methods, and nothing else differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Protocol, Unpack

from ecs_agent.errors import BadRequestError, MalformedResponseError
from ecs_agent.providers.capabilities import ASSUMED, Capabilities
from ecs_agent.providers.http.client import Call, HTTPOptions
from ecs_agent.providers.http.provider import HTTPProvider, WireCodec
from ecs_agent.providers.protocol import ModelRequest, RequestOptions, checked_messages
from ecs_agent.providers.settings import Settings
from ecs_agent.providers.token_count import TokenCount
from ecs_agent.types import JsonObject, Message, ToolSchema

_NO_SUCH_PATH: Final = (404, 405, 501)
_PERHAPS: Final = "perhaps this server does not count tokens; estimate_tokens counts without it, about. It said:"


class CountingCodec(WireCodec, Protocol):
    """A codec whose protocol has words for counting; no I/O.

    Key, headers and `withdraw` are those of a request for an answer.
    """

    def count_path(self, request: ModelRequest) -> str:
        """What is appended to the base URL."""
        ...

    def count_body(self, request: ModelRequest) -> JsonObject:
        """The JSON that is posted there: usually what `encode` writes, without what only an answer needs.

        Raises:
            UnsupportedFeatureError: the protocol cannot say what is asked.
        """
        ...

    def tokens_in(self, found: Any) -> int | None:
        """The count in an answer, which may be any JSON value; None when there is none."""
        ...


class CountingHTTPProvider(HTTPProvider):
    """A provider over HTTP that counts tokens by asking its server; see `HTTPProvider` for the arguments."""

    def __init__(
        self, codec: CountingCodec, settings: Settings, *, name: str, capabilities: Capabilities = ASSUMED, **http: Unpack[HTTPOptions]
    ) -> None:
        super().__init__(codec, settings, name=name, capabilities=capabilities, **http)
        self._counting = codec

    async def count_tokens(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSchema] | None = None, system_prompt: str = "", model: str | None = None
    ) -> TokenCount:
        """How many tokens a request would have, as the server counts; see `ecs_agent.providers.count_tokens`.

        Raises:
            ProviderError: the server could not be asked, does not count, or did not accept the request. `estimate_tokens` asks nobody.
            UnsupportedFeatureError: the protocol has no words for something in the messages.
            TypeError: `messages` is no conversation.
        """
        asked = [*([Message("system", system_prompt)] if system_prompt else []), *checked_messages(messages)]
        options = RequestOptions(tools=tools) if tools else RequestOptions()
        return await self.count_request(ModelRequest(model or self.model, asked, options=options))

    async def count_request(self, request: ModelRequest) -> TokenCount:
        """As `count_tokens`, for a request with all its options; its answer is limited by `read_timeout` and `total_timeout`."""
        codec, options, limits = self._counting, request.options, self._client.limits
        limits = replace(limits, read=options.get("read_timeout", limits.read), first_delta=None, total=options.get("total_timeout", limits.total))
        headers = {**codec.headers(request), **(options.get("extra_headers") or {})}
        call = Call(codec.count_path(request), partial(codec.count_body, request), codec.withdraw, request.model, limits, headers)
        try:
            return await self._client.fetch(call, self._read)
        except BadRequestError as error:
            if error.status in _NO_SUCH_PATH and error.args:
                error.args = (f"{_PERHAPS} {error.args[0]}", *error.args[1:])
            raise

    def _read(self, found: Any) -> TokenCount:
        tokens = self._counting.tokens_in(found)
        if tokens is None:
            raise MalformedResponseError("the server did not answer with a count of tokens; estimate_tokens counts without it, about")
        return TokenCount(tokens)
