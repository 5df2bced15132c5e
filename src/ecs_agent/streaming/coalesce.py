"""Fewer, larger deltas with the same fold: for a screen that draws twenty times a second, a socket that sends frames, a voice that speaks sentences.

    async with coalesce(stream, seconds=0.05) as fewer:
        async for delta in fewer: ...

Nothing is lost, reordered or added: every delta that goes out is the merge of deltas that came in, or a piece of the text of some. Errors come
after all that came before them, the final delta stays alone and last, and whatever closes the outer stream closes the one beneath.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from typing import Final, Literal, TypeAlias, overload

from ecs_agent.streaming.fold import merge
from ecs_agent.streaming.stream import CompletionStream, DeltaSource
from ecs_agent.streaming.text_breaks import Cut, whole_sentences, whole_words
from ecs_agent.types import CompletionResult, JsonObject, StreamDelta, Timing, TokenLogprob, ToolCallFragment, Usage

Unit: TypeAlias = Literal["word", "sentence"]

_CUTS: Final[dict[str, Cut]] = {"word": whole_words, "sentence": whole_sentences}
_MOST_CHARACTERS: Final = 65_536
_MOST_DELTAS: Final = 1024
_MERGE_AT: Final = 256
_A_VALUE: Final = 64  # what a part, a log probability or a piece of a call weighs beside its text, in characters


@overload
def coalesce(stream: AsyncIterator[StreamDelta], seconds: float = 0.05) -> CoalescedStream: ...
@overload
def coalesce(stream: AsyncIterator[StreamDelta], *, by: Unit) -> CoalescedStream: ...
def coalesce(stream: AsyncIterator[StreamDelta], seconds: float | None = None, *, by: Unit | None = None) -> CoalescedStream:
    """The same answer in fewer deltas: by time, or by words or sentences.

    By time the first delta goes out at once; after that deltas go out at most once in `seconds`, and all that is held goes out with the end
    or an error. A task of the stream's own reads ahead meanwhile, up to 65,536 characters or 1,024 deltas that do not merge; then it waits for
    its reader, so that a slow one still slows the server.

    By word or sentence, text goes out when a word or sentence is whole, and before anything that is not text of its kind. Deltas that are not
    text pass as they are. `ecs_agent.streaming.text_breaks` has the rules.

    Args:
        stream: what to coalesce; from now on it belongs to the result. Its own `result()` and `timing` stay readable, and are ahead by what is held.
        seconds: the window; 0.05 by default. With 0, only what arrives while the consumer is busy is merged.
        by: "word" or "sentence", instead of `seconds`.

    Raises:
        TypeError: `stream` is no async iterator, or `seconds` no number.
        ValueError: `seconds` is negative or not finite, `by` is an unknown word, or both are given.
    """
    if not isinstance(stream, AsyncIterator):
        raise TypeError(f"stream is a {type(stream).__name__}, not an async iterator of deltas; was the call of complete() awaited?")
    if by is not None:
        if seconds is not None:
            raise ValueError("seconds and by exclude each other; give one of them")
        if by not in tuple(_CUTS):
            raise ValueError(f"by is {by!r}; it must be 'word' or 'sentence'")
        return CoalescedStream(stream, _TextSource(stream, _CUTS[by]))
    window = 0.05 if seconds is None else seconds
    if isinstance(window, bool) or not isinstance(window, int | float):
        raise TypeError(f"seconds is a {type(window).__name__}; it must be a number")
    if not 0 <= window < math.inf:
        raise ValueError(f"seconds is {window}; it must be a finite number of at least 0")
    return CoalescedStream(stream, _TimedSource(stream, window))


class CoalescedStream(CompletionStream):
    """What `coalesce` returns: a `CompletionStream` whose `result()` is what it has handed out and whose `timing` is that of the stream beneath."""

    def __init__(self, stream: AsyncIterator[StreamDelta], source: DeltaSource) -> None:
        super().__init__(source, clock=asyncio.get_running_loop().time)
        self._beneath = stream if isinstance(stream, CompletionStream) else None

    def result(self) -> CompletionResult:
        """What has been handed out so far, complete or not."""
        return replace(super().result(), timing=self.timing)

    @property
    def timing(self) -> Timing:
        """How the answer has arrived so far."""
        return super().timing if self._beneath is None else self._beneath.timing


def merged(deltas: Sequence[StreamDelta]) -> list[StreamDelta]:
    """The deltas with adjacent ones merged where `merge` allows it; an end is left alone.

    Runs of plain text are joined, the rest is merged in halves, because one after another would copy a growing text each time.
    """
    together: list[StreamDelta] = []
    for is_text, group in groupby(deltas, key=_is_plain_text):
        run = list(group)
        together += [StreamDelta("".join([delta.content or "" for delta in run]))] if is_text else run
    return _merged(together)


def _is_plain_text(delta: StreamDelta) -> bool:
    return delta.content is not None and _only_text(delta)[0] == "content" and delta.usage is None and not delta.logprobs


def _merged(deltas: list[StreamDelta]) -> list[StreamDelta]:
    if len(deltas) < 2:
        return deltas
    middle = len(deltas) // 2
    left, right = _merged(deltas[:middle]), _merged(deltas[middle:])
    one = None if _ends(right[0]) else merge(left[-1], right[0])
    return left + right if one is None else [*left[:-1], one, *right[1:]]


def _ends(delta: StreamDelta) -> bool:
    return delta.final or delta.finish_reason is not None


def _with_joined_fragments(delta: StreamDelta) -> StreamDelta:
    if len(delta.tool_fragments) < 2:
        return delta
    runs = [list(run) for _, run in groupby(delta.tool_fragments, key=lambda fragment: fragment.index)]
    return replace(delta, tool_fragments=tuple([_joined(run) for run in runs]))


def _joined(run: list[ToolCallFragment]) -> ToolCallFragment:
    opaque: JsonObject | None = None
    for fragment in run:
        if fragment.opaque is not None:
            opaque = {**(opaque or {}), **fragment.opaque}
    call_id = next((fragment.id for fragment in run if fragment.id), None)
    name = "".join([fragment.name or "" for fragment in run]) or None
    return ToolCallFragment(run[0].index, call_id, name, "".join([fragment.arguments for fragment in run]), opaque)


async def _close(stream: AsyncIterator[StreamDelta]) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()


def _abort(stream: AsyncIterator[StreamDelta]) -> None:
    """Close without awaiting what can be closed so; a generator is closed by its event loop when nobody holds it."""
    abort = getattr(stream, "abort", None)
    if abort is not None:
        abort()


class TextHolder:
    """Holds text back until a unit of it is whole. Pure: deltas in, deltas out."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._kind = ""
        self._text = ""
        self._seen = 0
        self._usage: Usage | None = None
        self._logprobs: tuple[TokenLogprob, ...] = ()

    def feed(self, delta: StreamDelta) -> list[StreamDelta]:
        """Take the next delta; returns what goes out now."""
        kind, text = _only_text(delta)
        if not kind:
            return [*self.flush(), delta]
        out = [] if kind == self._kind else self.flush()
        self._kind = kind
        self._text += text
        self._usage = delta.usage or self._usage
        self._logprobs += delta.logprobs
        end = self._cut(self._text, self._seen)
        if end:
            out.append(self._take(end))
        self._seen = len(self._text)
        return out

    def flush(self) -> list[StreamDelta]:
        """All that is held."""
        self._seen = 0
        return [self._take(len(self._text))] if self._text else []

    def _take(self, end: int) -> StreamDelta:
        text, self._text = self._text[:end], self._text[end:]
        tokens, place = len(self._logprobs), 0
        if self._text:  # the tokens that end in what goes out go with it
            tokens = sum((place := place + len(token.token)) <= end for token in self._logprobs)
        logprobs, self._logprobs = self._logprobs[:tokens], self._logprobs[tokens:]
        usage, self._usage = self._usage, None
        match self._kind:
            case "reasoning":
                return StreamDelta(reasoning=text, usage=usage, logprobs=logprobs)
            case "refusal":
                return StreamDelta(refusal=text, usage=usage, logprobs=logprobs)
            case _:
                return StreamDelta(text, usage=usage, logprobs=logprobs)


def _only_text(delta: StreamDelta) -> tuple[str, str]:
    """The kind and the text of a delta that holds text of one kind; with usage and logprobs perhaps, as these fold wherever they stand."""
    if _ends(delta) or delta.tool_calls is not None or delta.tool_fragments or delta.parts or delta.raw_finish_reason is not None:
        return "", ""
    texts = [(kind, text) for kind, text in (("content", delta.content), ("reasoning", delta.reasoning), ("refusal", delta.refusal)) if text]
    return texts[0] if len(texts) == 1 else ("", "")


class _TextSource:
    """A stream's deltas with their text in whole words or sentences. Reads only when it is read."""

    def __init__(self, stream: AsyncIterator[StreamDelta], cut: Cut) -> None:
        self._stream = stream
        self._holder = TextHolder(cut)
        self._ended = False
        self._error: Exception | None = None

    async def read(self) -> Sequence[StreamDelta]:
        """The next deltas; empty at the end."""
        while not self._ended:
            try:
                out = self._holder.feed(await anext(self._stream))
            except StopAsyncIteration:
                self._ended, out = True, self._holder.flush()
            except Exception as error:  # noqa: BLE001  # raised below, when what came before it has been handed out
                self._ended, self._error, out = True, error, self._holder.flush()
            if out:
                return out
        error_to_tell, self._error = self._error, None
        if error_to_tell is not None:
            raise error_to_tell
        return ()

    async def aclose(self) -> None:
        """Close the stream."""
        self._ended = True
        await _close(self._stream)

    def abort(self) -> None:
        """Close it without awaiting."""
        self._ended = True
        _abort(self._stream)


class _TimedSource:
    """A stream's deltas, at most once in `window` seconds.

    A task reads the stream. Whoever waits in `read` is woken by a timer, which is set only while something is held, so that an idle stream
    sets none.
    """

    def __init__(self, stream: AsyncIterator[StreamDelta], window: float) -> None:
        self._stream = stream
        self._window = window
        self._loop = asyncio.get_running_loop()
        self._held: list[StreamDelta] = []
        self._characters = 0
        self._merge_at = _MERGE_AT
        self._due = -math.inf
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None

    async def read(self) -> Sequence[StreamDelta]:
        """All that is held, when its time has come; empty at the end."""
        if self._task is None and not self._ended:
            self._task = self._loop.create_task(self._run())
        while not (self._held and self._is_due()):
            if self._ended:
                error, self._error = self._error, None
                if error is not None:
                    raise error
                return ()
            await self._news()
        self._due = self._loop.time() + self._window
        out, self._held = [_with_joined_fragments(delta) for delta in merged(self._held)], []
        self._characters, self._merge_at = 0, _MERGE_AT
        self._room.set()
        return out

    def _is_due(self) -> bool:
        return self._ended or self._loop.time() >= self._due

    async def _news(self) -> None:
        self._waiter = self._loop.create_future()
        self._set_timer()
        try:
            await self._waiter
        finally:
            self._waiter = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _set_timer(self) -> None:
        if self._held and self._timer is None:
            self._timer = self._loop.call_at(self._due, self._ring)

    def _ring(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # The task that reads

    async def _run(self) -> None:
        try:
            async for delta in self._stream:
                self._hold(delta)
                if self._waiter is not None and self._timer is None:
                    if self._is_due():
                        self._ring()
                        await asyncio.sleep(0)  # a source that never waits would not let the reader have it
                    else:
                        self._set_timer()
                if len(self._held) >= self._merge_at or self._characters >= _MOST_CHARACTERS:
                    await self._make_room()
        except asyncio.CancelledError:
            with suppress(Exception):  # nobody is left to be told
                await _close(self._stream)
            raise
        except Exception as error:  # noqa: BLE001  # the reader raises it, when what came before it has been handed out
            self._error = error
        finally:
            self._ended = True
            self._ring()

    def _hold(self, delta: StreamDelta) -> None:
        self._held.append(delta)
        for text in (delta.content, delta.reasoning, delta.refusal):
            if text:
                self._characters += len(text)
        self._characters += _A_VALUE * (len(delta.parts) + len(delta.logprobs) + len(delta.tool_fragments))
        for fragment in delta.tool_fragments:
            self._characters += len(fragment.arguments)

    async def _make_room(self) -> None:
        """Merge what is held, so that it costs its text and not its pieces; wait when it is still too much."""
        self._held = [_with_joined_fragments(delta) for delta in merged(self._held)]
        self._merge_at = len(self._held) + _MERGE_AT
        if self._characters >= _MOST_CHARACTERS or len(self._held) >= _MOST_DELTAS:
            self._room.clear()
            await self._room.wait()
        else:
            await asyncio.sleep(0)  # others have their turn, even when the stream never waits

    # Closing

    async def aclose(self) -> None:
        """End the task and close the stream."""
        self._forget()
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
        await _close(self._stream)

    def abort(self) -> None:
        """The same without awaiting: the task closes the stream as it ends."""
        self._forget()
        if self._task is not None and not self._loop.is_closed():
            self._task.cancel()
        _abort(self._stream)

    def _forget(self) -> None:
        self._ended = True
        self._held, self._characters = [], 0
        self._ring()
