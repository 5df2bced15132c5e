"""LocalProvider: a model on this machine, without a key and without a server of one's own.

By default it is the embedded SmolLM2-135M-Instruct. That model is too small to decide by itself whether to call a tool, so for it this is decided
here: when tools are offered, it answers each message of the user with a call, and each result of a tool with text. `tool_choice` overrides it.
Other GGUF files decide for themselves.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self, Unpack, overload

from ecs_agent.errors import ConfigurationError, ProviderConnectionError
from ecs_agent.providers import local_weights
from ecs_agent.providers.capabilities import Capabilities
from ecs_agent.providers.http_client import default_transport
from ecs_agent.providers.local_server import LocalServer, ServerOptions
from ecs_agent.providers.openai import OpenAIProvider
from ecs_agent.providers.protocol import RequestOptions
from ecs_agent.providers.structured import asked_format, with_parsed
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.types import CompletionResult, Message, TextPart

EMBEDDED = "smollm2-135m-instruct"
TEMPLATE = Path(__file__).with_name("smollm2.jinja")
CALL_BEGINS, CALL_ENDS = "<tool_call>\n", "</tool_call>"


class LocalProvider:
    """Runs a model in a child process and asks it; the process starts with the first request.

    Args:
        model_path: a GGUF file; the embedded model by default.
        context: tokens of one conversation.
        slots: how many answers are computed at once; others wait.
        threads: how many threads compute; all cores but one by default.
        start_timeout: seconds until the model must be ready.
        capabilities: what another GGUF file can do; the embedded model goes on behind an assistant's last message.

    Raises:
        ConfigurationError: the weights are not installed, or the file does not exist.
    """

    def __init__(
        self,
        model_path: str | Path | None = None,
        *,
        context: int = 2048,
        slots: int = 2,
        threads: int | None = None,
        start_timeout: float = 30.0,
        capabilities: Capabilities | None = None,
    ) -> None:
        self._embedded = model_path is None
        path = local_weights.require() if model_path is None else Path(model_path).expanduser()
        if not path.is_file():
            raise ConfigurationError(f"there is no model file {path}")
        self.name = "local"
        self.model = EMBEDDED if self._embedded else path.stem
        # A model that thinks may refuse to go on behind words of its own, and one as small as the embedded does not understand to be asked to.
        assumed = Capabilities(prefill=self._embedded, continuation=not self._embedded, images=False, context_window=context, strict_schemas=False)
        self.capabilities = capabilities if capabilities is not None else assumed
        threads = threads if threads is not None else max(1, (os.cpu_count() or 2) - 1)
        template = TEMPLATE.read_text("utf-8") if self._embedded else None
        self._server = LocalServer(ServerOptions(path, self.model, template, context, slots, threads, start_timeout))
        self._transport = default_transport()
        self._provider: OpenAIProvider | None = None

    def __repr__(self) -> str:
        return f"LocalProvider(model={self.model!r})"

    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[False] = False, **options: Unpack[RequestOptions]) -> CompletionResult: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[True], **options: Unpack[RequestOptions]) -> CompletionStream: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: bool, **options: Unpack[RequestOptions]) -> CompletionResult | CompletionStream: ...
    async def complete(
        self, messages: Sequence[Message], stream: bool = False, **options: Unpack[RequestOptions]
    ) -> CompletionResult | CompletionStream:
        """Ask the model; see `LLMProvider`.

        Raises:
            ConfigurationError: the package is missing or the model cannot be loaded.
            ProviderError: the model process failed.
        """
        asked, options = options.get("response_format"), asked_format(options, self.capabilities)
        if self._embedded:
            messages, options = _for_a_small_model(messages, options)
        provider = await self.start()
        try:
            answer = await provider.complete(messages, stream, **options)
        except ProviderConnectionError:
            if self._server.running:
                raise
            answer = await (await self.start()).complete(messages, stream, **options)  # it died since the last request
        return with_parsed(_without_echo(answer, messages), asked) if isinstance(answer, CompletionResult) else answer

    async def start(self) -> OpenAIProvider:
        """Start the process unless it runs, and return the provider that asks it."""
        if self._provider is None or not self._server.running:
            url = await self._server.start()
            self._provider = OpenAIProvider(self._server.key, f"{url}/v1", self.model, name=self.name, transport=self._transport)
        return self._provider

    async def aclose(self) -> None:
        """End the process; the next request starts a new one."""
        provider, self._provider = self._provider, None
        if provider is not None:
            await provider.aclose()
        self._server.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _without_echo(result: CompletionResult, messages: Sequence[Message]) -> CompletionResult:
    """A whole answer without the words it was to go on behind, which the server repeats there and not in a stream."""
    begun = messages[-1].content if messages and messages[-1].role == "assistant" else ""
    first = result.message.parts[0] if result.message.parts else None
    if not begun or not isinstance(first, TextPart) or not first.text.startswith(begun):
        return result
    rest = first.text[len(begun) :]
    parts = [*([TextPart(rest)] if rest else []), *result.message.parts[1:]]
    return replace(result, message=Message("assistant", parts=parts))


def _for_a_small_model(messages: Sequence[Message], options: RequestOptions) -> tuple[Sequence[Message], RequestOptions]:
    """Decide about tools in its place, and make it repeatable: temperature 0 unless another is asked for."""
    options = options.copy()
    options.setdefault("temperature", 0.0)
    options.setdefault("seed", 0)
    choice = options.get("tool_choice")
    if not options.get("tools"):
        return messages, options
    calls = choice not in (None, "auto", "none") or (choice != "none" and bool(messages) and messages[-1].role == "user")
    if not calls:
        options["tools"] = None
        options["tool_choice"] = None
        return messages, options
    options["tool_choice"] = "required" if choice in (None, "auto") else choice
    options["parallel_tool_calls"] = False
    options["stop"] = CALL_ENDS  # without it the model begins a second call that nobody wanted
    return [*messages, Message("assistant", CALL_BEGINS)], options
