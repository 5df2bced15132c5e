"""LocalProvider: a model on this machine, without a key and without a server of one's own.

By default it is the embedded SmolLM2-135M-Instruct. That model is too small to decide by itself whether to call a tool, so for it this is decided
here: when tools are offered, it answers each message of the user with a call, and each result of a tool with text. `tool_choice` overrides it.
Other GGUF files decide for themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self, Unpack, overload

from ecs_agent.providers.capabilities import Capabilities
from ecs_agent.providers.http.counting import CountingHTTPProvider
from ecs_agent.providers.local.llama_codec import LlamaServerCodec
from ecs_agent.providers.local.model import EMBEDDED, LocalModel, model_file, threads_or_default
from ecs_agent.providers.local.server import ServerOptions
from ecs_agent.providers.protocol import ModelRequest, RequestOptions, checked_messages
from ecs_agent.providers.settings import Settings
from ecs_agent.providers.structured.parsing import asked_format, with_parsed
from ecs_agent.providers.token_count import TokenCount
from ecs_agent.providers.transport import Transport
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.types import CompletionResult, Message, TextPart, ToolSchema

TEMPLATE = Path(__file__).with_name("smollm2.jinja")
NAME = "local"
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
        path = model_file(model_path)
        self.name = NAME
        self.model = EMBEDDED if self._embedded else path.stem
        # A model that thinks may refuse to go on behind words of its own, and one as small as the embedded does not understand to be asked to.
        assumed = Capabilities(prefill=self._embedded, continuation=not self._embedded, images=False, context_window=context, strict_schemas=False)
        self.capabilities = capabilities if capabilities is not None else assumed
        template = TEMPLATE.read_text("utf-8") if self._embedded else None
        options = ServerOptions(path, self.model, template, context, slots, threads_or_default(threads), start_timeout)
        self._local = LocalModel(options, _connected)

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
        answer = await self._local.ask(lambda provider: provider.complete(messages, stream, **options))
        return with_parsed(_without_echo(answer, messages), asked) if isinstance(answer, CompletionResult) else answer

    async def count_tokens(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSchema] | None = None, system_prompt: str = "", model: str | None = None
    ) -> TokenCount:
        """How many tokens a request would have, as the model's own tokenizer counts; starts the process unless it runs.

        What this provider itself adds for the embedded model is counted, since it is sent.

        Raises:
            ConfigurationError: the package is missing or the model cannot be loaded.
            ProviderError: the model process failed, or did not accept the request. `estimate_tokens` asks nobody.
            TypeError: `messages` is no conversation.
        """
        asked: Sequence[Message] = [*([Message("system", system_prompt)] if system_prompt else []), *checked_messages(messages)]
        options = RequestOptions(tools=tools) if tools else RequestOptions()
        if self._embedded:
            asked, options = _for_a_small_model(asked, options)
        request = ModelRequest(model or self.model, asked, options=options)
        return await self._local.ask(lambda provider: provider.count_request(request))

    async def start(self) -> CountingHTTPProvider:
        """Start the process unless it runs, and return the provider that asks it."""
        return await self._local.start()

    async def aclose(self) -> None:
        """End the process; the next request starts a new one."""
        await self._local.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _connected(settings: Settings, transport: Transport) -> CountingHTTPProvider:
    return CountingHTTPProvider(LlamaServerCodec(), settings, name=NAME, transport=transport)


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
