"""GeminiProvider: Google's Gemini API, and Vertex AI, which speaks the same protocol."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Unpack
from urllib.parse import urlsplit

from ecs_agent.errors import BadRequestError, ProviderError
from ecs_agent.providers.capabilities import Capabilities
from ecs_agent.providers.gemini_content.decoder import GeminiDecoder
from ecs_agent.providers.gemini_content.request import encode_request, model_name, model_path
from ecs_agent.providers.http.client import HTTPOptions
from ecs_agent.providers.http.counting import CountingHTTPProvider
from ecs_agent.providers.protocol import ModelRequest
from ecs_agent.providers.secret import Secret
from ecs_agent.providers.settings import resolve
from ecs_agent.providers.wire.call_ids import missing_id
from ecs_agent.streaming.decoder import StreamDecoder
from ecs_agent.streaming.json_edge import is_object, whole_count
from ecs_agent.types import JsonObject

GEMINI_CAPABILITIES: Final = Capabilities(strict_schemas=False)
"""What every model of the protocol can do: its schemas may be open."""

_COUNTED_BY_VERTEX: Final = ("contents", "systemInstruction", "tools", "generationConfig")
"""What its `countTokens` reads (https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/count-tokens)."""

_VERSION: Final = re.compile(r"v[0-9]+(?:(?:alpha|beta)[0-9]*)?")
_BEHIND: Final = re.compile(r"(/v[0-9]+(?:(?:alpha|beta)[0-9]*)?)/(?:models(?:/[^/]*)?|openai)$")
"""What stands behind the version where an address was copied from an example."""


class GeminiCodec:
    """The Gemini protocol (generateContent).

    Args:
        include_thoughts: whether thoughts are to be told in words; None: where the request says how much to think.
    """

    def __init__(self, include_thoughts: bool | None = None) -> None:
        self._include_thoughts = include_thoughts
        self._stand_in = False
        self._counts_whole = True

    def path(self, request: ModelRequest) -> str:
        """The model, and how it is to answer."""
        return f"/{model_path(request.model)}:{'streamGenerateContent?alt=sse' if request.stream else 'generateContent'}"

    def headers(self, request: ModelRequest) -> dict[str, str]:  # noqa: ARG002 - other protocols have some
        """None."""
        return {}

    def authorization(self, key: str) -> dict[str, str]:
        """The key in Google's header, never in the address."""
        return {"x-goog-api-key": key}

    def encode(self, request: ModelRequest) -> JsonObject:
        """The request's JSON."""
        return encode_request(request, include_thoughts=self._include_thoughts, stand_in=self._stand_in)

    def count_path(self, request: ModelRequest) -> str:
        """Where the tokens of a request are counted."""
        return f"/{model_path(request.model)}:countTokens"

    def count_body(self, request: ModelRequest) -> JsonObject:
        """The JSON that asks how many tokens a request has, with its system message and its tools; Vertex AI takes them without an envelope."""
        body = self.encode(request)
        if self._counts_whole:
            return {"generateContentRequest": {"model": model_name(request.model), **body}}
        return {name: body[name] for name in _COUNTED_BY_VERTEX if name in body}

    def tokens_in(self, found: Any) -> int | None:
        """The count in an answer."""
        return whole_count(found.get("totalTokens")) if is_object(found) else None

    def decoder(self, content_type: str, request: ModelRequest) -> StreamDecoder:
        """A decoder for the body that answers a request."""
        return GeminiDecoder(content_type, call_id=partial(missing_id, request.messages))

    def withdraw(self, error: ProviderError, sent: JsonObject) -> bool:
        """Give calls without a signature the documented one, where a model that does not look like it wants one; count as Vertex AI does."""
        words = str(error).replace("_", " ").lower()
        if isinstance(error, BadRequestError) and "generateContentRequest" in sent and "generatecontentrequest" in words and "unknown" in words:
            self._counts_whole = False
            return True
        if isinstance(error, BadRequestError) and "missing" in words and "thought signature" in words:
            self._stand_in = True
            return True
        return False


class GeminiProvider(CountingHTTPProvider):
    """Asks a server that speaks the Gemini protocol, by posting to `{base_url}/models/{model}:streamGenerateContent` or `:generateContent`.

    Args:
        api_key: else `GEMINI_API_KEY` or `GOOGLE_API_KEY`; sent as `x-goog-api-key`. None is needed where `headers` holds an `authorization`, as
            for Vertex AI, nor by a server on this machine.
        base_url: else `GEMINI_BASE_URL`, else Google's own; one without a version gets `/v1beta`.
        model: "gemini-…", "models/…" or "tunedModels/…"; else `LLM_MODEL`.
        name: how errors and logs call this provider.
        capabilities: what the server, with this model, can do.
        include_thoughts: whether the model tells what it thinks; by default where a request has a `reasoning_effort`. Models that do not think
            refuse to be asked.
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
        name: str = "gemini",
        capabilities: Capabilities = GEMINI_CAPABILITIES,
        include_thoughts: bool | None = None,
        key_names: Sequence[str] = ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        **http: Unpack[HTTPOptions],
    ) -> None:
        signed = any(header.lower() == "authorization" for header in http.get("headers") or ())
        settings = resolve(
            api_key=api_key,
            base_url=base_url,
            model=model,
            key_names=() if signed else key_names,
            url_names=("GEMINI_BASE_URL",),
            default_url="https://generativelanguage.googleapis.com/v1beta",
            allow_http=http.get("allow_http", False),
            needs_key=bool(key_names) and not signed,
        )
        settings = replace(settings, base_url=with_version(settings.base_url))
        super().__init__(GeminiCodec(include_thoughts), settings, name=name, capabilities=capabilities, **http)


def with_version(url: str) -> str:
    """An address with the version of the protocol in its path: its own, else the one that has all features."""
    url = _BEHIND.sub(r"\1", url)
    has_one = any(_VERSION.fullmatch(step) for step in urlsplit(url).path.split("/"))
    return url if has_one else f"{url}/v1beta"
