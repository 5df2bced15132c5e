"""InstrumentedProvider: tells somebody what becomes of each call, for metrics, traces and logs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ecs_agent.logging import get_logger
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.providers.recorded.request_data import options_without_secrets
from ecs_agent.providers.wrapping import WrapperProvider
from ecs_agent.streaming.stream import CompletionStream, StreamTap
from ecs_agent.types import CompletionResult, Message, StreamDelta

_log = get_logger("ecs_agent.providers.instrumented")


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """One call of a provider.

    Attributes:
        number: counted from 1 for each `InstrumentedProvider`.
        provider: the provider's name.
        model: the model that is asked.
        messages: the conversation.
        options: those that are set, without what is secret in them.
        stream: whether a stream was asked for.
        started: the running loop's time.
    """

    number: int
    provider: str
    model: str
    messages: Sequence[Message]
    options: Mapping[str, object]
    stream: bool
    started: float


class CallHooks:
    """Hears of calls. Override what is of interest; a hook that raises disturbs no answer and is logged, once for each hook.

    Each call ends by exactly one of `finished`, `failed` and `left`.
    """

    def started(self, call: ProviderCall) -> None:
        """The provider is being asked."""

    def first_delta(self, call: ProviderCall) -> None:
        """The first deltas of a stream were read; a whole answer has none."""

    def finished(self, call: ProviderCall, result: CompletionResult) -> None:
        """The answer is whole."""

    def failed(self, call: ProviderCall, error: Exception) -> None:
        """The provider refused, or its answer broke off; a `ProviderError` has the `partial` one."""

    def left(self, call: ProviderCall, partial: CompletionResult | None) -> None:
        """It was closed, cancelled or dropped before its end; what had arrived, None if nothing could have."""


class InstrumentedProvider(WrapperProvider):
    """Asks another provider, and tells of each call. A delta costs nothing more: hooks hear of reads at most.

    Args:
        provider: whom to ask.
        hooks: whom to tell.

    Raises:
        TypeError: it is no provider, or `hooks` are no `CallHooks`.
    """

    def __init__(self, provider: ProviderLike, hooks: CallHooks) -> None:
        super().__init__(provider)
        given: object = hooks
        if not isinstance(given, CallHooks):
            what = f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
            raise TypeError(f"hooks is {what}; give an instance of a class that is derived from CallHooks")
        self.hooks = hooks
        self._calls = 0
        self._failing: set[str] = set()

    async def _whole(self, messages: Sequence[Message], options: RequestOptions) -> CompletionResult:
        with self._told(messages, options, stream=False) as teller:
            result = await super()._whole(messages, options)
        teller.finished(result)
        return result

    async def _stream(self, messages: Sequence[Message], options: RequestOptions) -> CompletionStream:
        with self._told(messages, options, stream=True) as teller:
            answer = await super()._stream(messages, options)
        return answer.tap(_HooksTap(teller))

    @contextmanager
    def _told(self, messages: Sequence[Message], options: RequestOptions, *, stream: bool) -> Generator[_Teller]:
        """Tell of the beginning of a call, and of its end if asking was all of it."""
        self._calls += 1
        call = ProviderCall(
            number=self._calls,
            provider=self.name,
            model=options.get("model") or self.model,
            messages=tuple(messages),
            options=options_without_secrets(options),
            stream=stream,
            started=asyncio.get_running_loop().time(),
        )
        teller = _Teller(self.hooks, call, self._failing)
        teller.started()
        try:
            yield teller
        except Exception as error:
            teller.failed(error)
            raise
        except BaseException:
            teller.left(None)
            raise


class _Teller:
    """Calls the hooks for one call, whatever they raise."""

    def __init__(self, hooks: CallHooks, call: ProviderCall, failing: set[str]) -> None:
        self._hooks = hooks
        self._call = call
        self._failing = failing

    def started(self) -> None:
        self._tell("started", lambda: self._hooks.started(self._call))

    def first_delta(self) -> None:
        self._tell("first_delta", lambda: self._hooks.first_delta(self._call))

    def finished(self, result: CompletionResult) -> None:
        self._tell("finished", lambda: self._hooks.finished(self._call, result))

    def failed(self, error: Exception) -> None:
        self._tell("failed", lambda: self._hooks.failed(self._call, error))

    def left(self, partial: CompletionResult | None) -> None:
        self._tell("left", lambda: self._hooks.left(self._call, partial))

    def _tell(self, hook: str, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception:  # noqa: BLE001 - whoever watches must not disturb what is watched
            if hook not in self._failing:
                self._failing.add(hook)
                _log.exception("a hook raised; its further errors are not logged", hook=hook, provider=self._call.provider)


class _HooksTap(StreamTap):
    """Tells of a stream."""

    def __init__(self, teller: _Teller) -> None:
        self._teller = teller
        self._begun = False

    def note(self, deltas: Sequence[StreamDelta], /) -> None:  # noqa: ARG002 - how many there are is of no interest
        if not self._begun:
            self._begun = True
            self._teller.first_delta()

    def complete(self, stream: CompletionStream, /) -> None:
        self._teller.finished(stream.result())

    def fail(self, _: CompletionStream, error: Exception, /) -> None:
        self._teller.failed(error)

    def leave(self, stream: CompletionStream, /) -> None:
        self._teller.left(stream.result())
