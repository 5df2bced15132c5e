"""OpenAIResponsesProvider: any server that speaks the OpenAI Responses protocol."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Literal, Unpack

from ecs_agent.errors import ProviderError
from ecs_agent.providers.capabilities import ASSUMED, Capabilities
from ecs_agent.providers.http.client import HTTPOptions
from ecs_agent.providers.http.counting import CountingHTTPProvider
from ecs_agent.providers.http.sdk_client import SDKClient
from ecs_agent.providers.openai import OPENAI_KEYS, openai_settings
from ecs_agent.providers.openai_responses.chain import digest_of
from ecs_agent.providers.openai_responses.decoder import ResponsesDecoder
from ecs_agent.providers.openai_responses.request import ResponsesSettings, encode_request, is_stored, split_instructions
from ecs_agent.providers.openai_responses.withdrawn import Withdrawn
from ecs_agent.providers.protocol import ModelRequest
from ecs_agent.providers.secret import Secret
from ecs_agent.providers.wire.call_ids import missing_id
from ecs_agent.streaming.decoder import StreamDecoder
from ecs_agent.streaming.json_edge import is_object, whole_count
from ecs_agent.types import JsonObject

_COUNTED: Final = frozenset(
    {"model", "input", "instructions", "previous_response_id", "conversation", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning"}
)
"""Fields of a request that its count of tokens is asked with."""


class OpenAIResponsesCodec:
    """The Responses protocol.

    What a server refuses and an answer does not need (a response that it no longer knows, items of another server, encrypted reasoning of a model
    that has none) is left out from then on.
    """

    def __init__(self, settings: ResponsesSettings) -> None:
        self._settings = settings
        self._withdrawn = Withdrawn()

    def path(self, request: ModelRequest) -> str:  # noqa: ARG002 - other protocols have the model in it
        """Always the same."""
        return "/responses"

    def headers(self, request: ModelRequest) -> dict[str, str]:  # noqa: ARG002 - other protocols have some
        """None."""
        return {}

    def authorization(self, key: str) -> dict[str, str]:
        """The key as a bearer token."""
        return {"authorization": f"Bearer {key}"}

    def encode(self, request: ModelRequest) -> JsonObject:
        """The request's JSON."""
        return encode_request(request, self._settings, self._withdrawn)

    def count_path(self, request: ModelRequest) -> str:  # noqa: ARG002 - other protocols have the model in it
        """Where requests are counted."""
        return "/responses/input_tokens"

    def count_body(self, request: ModelRequest) -> JsonObject:
        """What is posted there: all that is read, nothing of how it is answered."""
        return {name: value for name, value in self.encode(request).items() if name in _COUNTED}

    def tokens_in(self, found: Any) -> int | None:
        """The count in an answer."""
        return whole_count(found.get("input_tokens")) if is_object(found) else None

    def decoder(self, content_type: str, request: ModelRequest) -> StreamDecoder:
        """A decoder for the body that answers a request; it keeps the id of a response that the server keeps."""
        after = digest_of(split_instructions(request.messages)[1]) if is_stored(request, self._settings) else None
        return ResponsesDecoder(content_type, call_id=partial(missing_id, request.messages), after=after)

    def withdraw(self, error: ProviderError, sent: JsonObject) -> bool:
        """Whether what was refused is left out from now on."""
        return self._withdrawn.take(error, sent)


class OpenAIResponsesProvider(CountingHTTPProvider):
    """Asks a server that speaks the OpenAI Responses protocol, by posting to `{base_url}/responses`.

    The conversation is our data: unless `store` is set the server is asked to keep nothing, each request holds the whole conversation, and the
    model's reasoning goes along in encrypted form.

    Args:
        api_key: else `OPENAI_API_KEY` or `LLM_API_KEY`; a server on this machine needs none.
        base_url: else `OPENAI_BASE_URL` or `LLM_BASE_URL`, else OpenAI's own; with or without `/responses` at its end.
        model: else `LLM_MODEL`.
        name: how errors and logs call this provider.
        capabilities: what the server, with this model, can do.
        store: let the server keep the answers. A request then names the response it goes on from and holds only what is new; it holds everything
            when the conversation was changed, or when the server no longer knows the response.
        reasoning_summary: how thoughts are summed up when `reasoning_effort` is given; None for not at all.
        builtin_tools: tools that the server runs, in its own words, such as `{"type": "web_search"}`; sent beside the functions of each request.
        client: an `AsyncOpenAI`, or one like it, that sends the requests; see `OpenAIProvider`.
        key_names: the environment variables that may hold the key; without any none is taken from there, and none is needed.
        http: time limits, headers, proxy and the like; see `HTTPOptions`.

    Raises:
        ConfigurationError: there is no model, no key for another machine's server, or the URL cannot be used.
    """

    def __init__(
        self,
        api_key: str | Secret | None = None,
        base_url: str | None = None,
        model: str | None = None,
        *,
        name: str = "openai-responses",
        capabilities: Capabilities = ASSUMED,
        store: bool = False,
        reasoning_summary: Literal["auto", "concise", "detailed"] | None = "auto",
        builtin_tools: Sequence[JsonObject] = (),
        client: SDKClient | None = None,
        key_names: Sequence[str] = OPENAI_KEYS,
        **http: Unpack[HTTPOptions],
    ) -> None:
        address = base_url.strip().rstrip("/").removesuffix("/responses") if base_url is not None else None
        settings = openai_settings(api_key, address, model, key_names, client, allow_http=http.get("allow_http", False))
        own = ResponsesSettings(store, reasoning_summary, tuple(builtin_tools))
        super().__init__(OpenAIResponsesCodec(own), settings, name=name, capabilities=capabilities, **http)
