"""One response within its time limits: which time counts against which limit, and what becomes of the connection. All on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from tests.providers.wire import written

from ecs_agent.errors import ProviderError, ProviderTimeoutError, RateLimitError, StreamInterruptedError
from ecs_agent.providers.http.stream import DRAIN, HTTPDeltaSource, TimeLimits
from ecs_agent.providers.openai_chat.decoder import ChatDecoder
from ecs_agent.testing import run
from ecs_agent.types import StreamDelta, Usage

A, B, EMPTY = written({"delta": {"content": "a"}}), written({"delta": {"content": "b"}}), written({"delta": {"role": "assistant"}})
FINISH, DONE = written({"finish": "stop"}), b"data: [DONE]\n\n"
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}\n\n'
COMMENT = b": wait\n\n"

NO_LIMITS = TimeLimits(read=None, first_delta=None, total=None, tail=None)
RESET = StreamInterruptedError("the connection was reset")


class PacedResponse:
    """A response on the loop's clock: a number is a pause, bytes are a read, an error is raised; behind the last of them nothing comes any more."""

    def __init__(self, *script: float | bytes | ProviderError) -> None:
        self.script = list(script)
        self.closes = self.aborts = 0
        self.over = asyncio.Event()

    @property
    def status(self) -> int:
        return 200

    @property
    def headers(self) -> Mapping[str, str]:
        return {}

    async def read(self) -> bytes:
        while self.script and not self.over.is_set():
            step = self.script.pop(0)
            if isinstance(step, bytes):
                return step
            if isinstance(step, ProviderError):
                raise step
            try:
                await asyncio.wait_for(self.over.wait(), step)
            except TimeoutError:
                pass
        await self.over.wait()
        raise StreamInterruptedError("the connection was closed")

    async def aclose(self) -> None:
        self.closes += 1
        self.over.set()

    def abort(self) -> None:
        self.aborts += 1
        self.over.set()


@dataclass
class Read:
    """How reading a response went: the texts with the times at which they came, the usage, the error and its time, and how it was left."""

    texts: list[tuple[float, str]] = field(default_factory=list)
    final: StreamDelta | None = None
    error: ProviderError | None = None
    ended: float = 0.0
    closes: int = 0
    aborts: int = 0
    released: int = 0


def reading(
    *script: float | bytes | ProviderError,
    limits: TimeLimits = NO_LIMITS,
    before: Sequence[float] = (),
    sent: float = 0.0,
) -> Read:
    """Read a response to its end. `before` are the pauses of the reader before each read, the last again and again; `sent` is what passed since the request."""

    async def main() -> Read:
        loop, done = asyncio.get_running_loop(), Read()
        await asyncio.sleep(sent)
        response = PacedResponse(*script)
        source = HTTPDeltaSource(response, ChatDecoder(), limits, 0.0, lambda: setattr(done, "released", done.released + 1), signed)
        pauses = list(before)
        try:
            while True:
                if pauses:
                    await asyncio.sleep(pauses.pop(0) if len(pauses) > 1 else pauses[0])
                deltas = await source.read()
                if not deltas:
                    break
                for delta in deltas:
                    done.final = delta if delta.final else done.final
                    if delta.content:
                        done.texts.append((loop.time(), delta.content))
        except ProviderError as error:
            done.error = error
        done.ended = loop.time()
        assert await source.read() == () if done.error is None else True
        await source.aclose()
        done.closes, done.aborts = response.closes, response.aborts
        assert not [handle for handle in getattr(loop, "_scheduled", ()) if not handle.cancelled()], "a timer is left"
        return done

    return run(main)


def signed(error: ProviderError) -> ProviderError:
    error.provider = "signed"
    return error


class TestWithoutLimits:
    def test_deltas_come_as_the_bytes_do_and_then_it_ends(self) -> None:
        done = reading(1, A, 2, B + FINISH, 3, USAGE, b"")
        assert done.texts == [(1, "a"), (3, "b")]
        assert done.final is not None
        assert (done.final.usage, done.ended, done.error) == (Usage(1, 2, 3), 6, None)
        assert (done.closes, done.aborts, done.released) == (0, 1, 1)

    def test_bytes_that_hold_no_delta_are_no_end(self) -> None:
        assert reading(COMMENT, EMPTY, A[:20], A[20:], FINISH, DONE).texts == [(0, "a")]

    def test_a_day_of_silence_is_waited_for(self) -> None:
        assert reading(86_400, A, FINISH, DONE).texts == [(86_400, "a")]

    def test_an_end_without_a_finish_is_an_interruption(self) -> None:
        done = reading(A, b"")
        assert isinstance(done.error, StreamInterruptedError)
        assert (done.texts, done.error.provider, done.aborts, done.released) == ([(0, "a")], "signed", 1, 1)

    def test_a_lost_connection_is_told_in_its_own_words(self) -> None:
        done = reading(A, RESET)
        assert done.error is RESET
        assert (done.texts, done.error.provider) == ([(0, "a")], "signed")

    def test_a_connection_that_is_lost_behind_the_finish_loses_the_usage_alone(self) -> None:
        done = reading(A, FINISH, RESET)
        assert done.error is None
        assert done.final is not None
        assert (done.final.finish_reason, done.final.usage) == ("stop", None)

    def test_an_error_in_the_stream_comes_behind_what_came_before_it(self) -> None:
        done = reading(A + b'data: {"error": {"message": "x", "code": "rate_limit_exceeded"}}\n\n')
        assert isinstance(done.error, RateLimitError)
        assert (done.texts, done.aborts, done.released) == ([(0, "a")], 1, 1)


class TestWhatIsLeftOfTheBody:
    """An answer that has ended leaves a body that is nearly always at its end; read to it, the connection serves the next request."""

    def test_it_is_read_to_its_end_before_the_connection_is_left(self) -> None:
        response = PacedResponse(A, FINISH, DONE, 0.05, COMMENT, b"", b"the next answer")
        assert self.ended(response) == pytest.approx(0.05)
        assert response.script == [b"the next answer"]

    def test_a_body_that_goes_on_in_silence_is_given_up(self) -> None:
        response = PacedResponse(A, FINISH, DONE, 60, b"")
        assert self.ended(response) == pytest.approx(DRAIN)
        assert response.aborts >= 1

    def test_so_is_one_that_goes_on_with_bytes(self) -> None:
        assert self.ended(PacedResponse(A, FINISH, DONE, *[step for _ in range(100) for step in (0.01, COMMENT)])) == pytest.approx(DRAIN)

    def test_a_connection_that_is_lost_in_it_is_no_failure(self) -> None:
        response = PacedResponse(A, FINISH, DONE, RESET)
        assert self.ended(response) == 0
        assert response.aborts == 1

    @staticmethod
    def ended(response: PacedResponse) -> float:
        async def main() -> float:
            source = HTTPDeltaSource(response, ChatDecoder(), NO_LIMITS, 0.0, lambda: None, signed)
            while await source.read():
                pass
            return asyncio.get_running_loop().time()

        return run(main)


class TestSilence:
    LIMITS = TimeLimits(read=10, first_delta=None, total=None, tail=None)

    def test_too_long_a_silence_is_an_error(self) -> None:
        done = reading(A, limits=self.LIMITS)
        assert isinstance(done.error, ProviderTimeoutError)
        assert str(done.error) == "the server was silent for 10 s (read_timeout); raise that limit if the model needs longer"
        assert (done.texts, done.ended, done.error.provider, done.aborts > 0, done.released) == ([(0, "a")], 10, "signed", True, 1)

    def test_every_byte_ends_it(self) -> None:
        done = reading(9, COMMENT, 9, A[:5], 9, A[5:], 9, B, limits=self.LIMITS)
        assert done.texts == [(27, "a"), (36, "b")]
        assert done.ended == 46

    def test_it_begins_anew_with_each_wait(self) -> None:
        assert reading(A, 9.5, B, 9.5, FINISH, 9.5, USAGE, limits=self.LIMITS).error is None

    def test_the_readers_own_time_does_not_count(self) -> None:
        done = reading(A, B, 9, A, FINISH, DONE, limits=self.LIMITS, before=[1000])
        assert (done.error, [text for _, text in done.texts]) == (None, ["a", "b", "a"])

    def test_a_reader_that_comes_late_waits_as_long_as_any(self) -> None:
        done = reading(A, limits=self.LIMITS, before=[0, 100])
        assert done.ended == 110


class TestTheFirstDelta:
    LIMITS = TimeLimits(read=None, first_delta=10, total=None, tail=None)

    @pytest.mark.parametrize("nothing", [COMMENT, EMPTY, b"data: ", USAGE])
    def test_bytes_that_say_nothing_do_not_stop_it(self, nothing: bytes) -> None:
        done = reading(*[step for _ in range(20) for step in (1, nothing)], limits=self.LIMITS)
        assert isinstance(done.error, ProviderTimeoutError)
        assert str(done.error) == "no text came within 10 s (first_delta_timeout); raise that limit if the model needs longer"
        assert done.ended == 10

    @pytest.mark.parametrize(
        "delta",
        [
            {"content": "a"},
            {"reasoning": "a"},
            {"refusal": "a"},
            {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]},
            {"images": [{"image_url": "https://a.example/"}]},
        ],
    )
    def test_content_of_any_kind_does(self, delta: dict[str, object]) -> None:
        done = reading(9, written({"delta": delta}), 90, B, FINISH, DONE, limits=self.LIMITS)
        assert done.error is None
        assert done.texts[-1] == (99, "b")

    def test_so_does_an_end_without_any(self) -> None:
        assert reading(9, FINISH, 90, DONE, b"", limits=self.LIMITS).error is None

    def test_it_counts_from_the_sending_of_the_request(self) -> None:
        assert reading(limits=self.LIMITS, sent=7).ended == 10
        assert reading(limits=self.LIMITS, sent=70).ended == 70

    def test_only_time_in_which_somebody_waits_counts(self) -> None:
        done = reading(6, COMMENT + A, FINISH, DONE, limits=self.LIMITS, before=[1000])
        assert (done.error, done.texts) == (None, [(1006, "a")])

    def test_what_was_waited_before_counts(self) -> None:
        assert reading(6, COMMENT, 6, A, limits=self.LIMITS).ended == 10


class TestTheWholeAnswer:
    LIMITS = TimeLimits(read=None, first_delta=None, total=10, tail=None)

    def test_an_answer_without_end_is_ended(self) -> None:
        done = reading(*[step for _ in range(20) for step in (1, A)], limits=self.LIMITS)
        assert isinstance(done.error, ProviderTimeoutError)
        assert str(done.error) == "the answer took longer than 10 s (total_timeout); raise that limit if the model needs longer"
        assert (done.ended, len(done.texts)) == (10, 9)

    def test_it_counts_from_the_sending_of_the_request(self) -> None:
        assert reading(A, limits=self.LIMITS, sent=7).ended == 10

    def test_a_slow_reader_gets_one_more_read_when_the_time_is_over(self) -> None:
        done = reading(A, B, A, B, limits=self.LIMITS, before=[6])
        assert [text for _, text in done.texts] == ["a", "b"]
        assert isinstance(done.error, ProviderTimeoutError)
        assert done.ended == 18

    def test_and_an_answer_that_is_there_by_then_is_whole(self) -> None:
        done = reading(A, B + FINISH + DONE, limits=self.LIMITS, before=[6])
        assert (done.error, done.texts) == (None, [(6, "a"), (12, "b")])

    def test_exactly_at_its_end_it_is_over(self) -> None:
        done = reading(A, A, A, limits=self.LIMITS, before=[10, 0])
        assert (done.texts, done.ended) == ([(10, "a")], 10)

    def test_behind_the_finish_it_loses_the_usage_alone(self) -> None:
        done = reading(A + FINISH, limits=self.LIMITS)
        assert (done.error, done.ended) == (None, 10)
        assert done.final is not None
        assert done.final.usage is None
        assert reading(A + FINISH, USAGE, limits=self.LIMITS, before=[6]).error is None


class TestTheTail:
    LIMITS = TimeLimits(read=None, first_delta=None, total=None, tail=2)

    def test_usage_that_does_not_come_in_time_is_unknown(self) -> None:
        done = reading(A, 1, FINISH, limits=self.LIMITS)
        assert done.final is not None
        assert (done.error, done.final.finish_reason, done.final.usage, done.ended) == (None, "stop", None, 3)

    def test_usage_that_comes_in_time_is_known(self) -> None:
        done = reading(A, 1, FINISH, 1.5, USAGE, b"", limits=self.LIMITS)
        assert done.final is not None
        assert (done.final.usage, done.ended) == (Usage(1, 2, 3), 2.5)

    def test_bytes_that_are_none_do_not_stop_it(self) -> None:
        done = reading(A, FINISH, *[step for _ in range(20) for step in (0.4, COMMENT)], limits=self.LIMITS)
        assert (done.error, done.ended) == (None, 2)

    def test_only_time_in_which_somebody_waits_counts(self) -> None:
        done = reading(A + FINISH, 1, COMMENT, USAGE, limits=self.LIMITS, before=[1000])
        assert done.final is not None
        assert done.final.usage == Usage(1, 2, 3)

    def test_no_limit_but_its_own_counts_before_it(self) -> None:
        assert reading(5, A, 5, FINISH, limits=self.LIMITS).ended == 12

    def test_a_finish_without_text_has_one_too(self) -> None:
        assert reading(1, FINISH, limits=TimeLimits(read=50, first_delta=50, total=50, tail=2)).ended == 3

    def test_without_such_a_limit_the_silence_is_what_counts(self) -> None:
        done = reading(A, FINISH, limits=TimeLimits(read=30, first_delta=None, total=None, tail=None))
        assert (done.error, done.ended) == (None, 30)


class TestTheShortest:
    @pytest.mark.parametrize(
        ("limits", "name", "at"),
        [
            (TimeLimits(read=3, first_delta=5, total=9), "read_timeout", 3),
            (TimeLimits(read=9, first_delta=5, total=9), "first_delta_timeout", 5),
            (TimeLimits(read=9, first_delta=9, total=4), "total_timeout", 4),
        ],
    )
    def test_of_several_limits_the_first_to_pass_is_told(self, limits: TimeLimits, name: str, at: float) -> None:
        done = reading(limits=limits)
        assert (name in str(done.error), done.ended) == (True, at)

    def test_the_defaults_leave_room_for_a_slow_model(self) -> None:
        assert TimeLimits() == TimeLimits(120.0, 600.0, 3600.0, 2.0)


class TestTimers:
    def test_a_delta_costs_no_timer(self) -> None:
        async def main() -> tuple[int, int]:
            loop, timers = asyncio.get_running_loop(), 0
            set_timer = loop.call_at

            def counted(*args: object, **kwargs: object) -> asyncio.TimerHandle:
                nonlocal timers
                timers += 1
                return set_timer(*args, **kwargs)  # type: ignore[arg-type]

            response = PacedResponse(*[A] * 1000, FINISH, DONE)
            source = HTTPDeltaSource(response, ChatDecoder(), TimeLimits(), 0.0, lambda: None, signed)
            loop.call_at = counted  # type: ignore[method-assign]
            reads = 0
            while await source.read():
                reads += 1
            return reads, timers

        reads, timers = run(main)
        assert reads >= 1000
        assert timers <= 3

    def test_without_limits_none_is_set(self) -> None:
        async def main() -> int:
            source = HTTPDeltaSource(PacedResponse(A), ChatDecoder(), NO_LIMITS, 0.0, lambda: None, signed)
            await source.read()
            timers = len(getattr(asyncio.get_running_loop(), "_scheduled", ()))
            await source.aclose()
            return timers

        assert run(main) == 0


class TestLeaving:
    @staticmethod
    def left(leave: Callable[[HTTPDeltaSource], Awaitable[None]]) -> tuple[int, int, int]:
        async def main() -> tuple[int, int, int]:
            released: list[int] = []
            response = PacedResponse(A)
            source = HTTPDeltaSource(response, ChatDecoder(), TimeLimits(), 0.0, lambda: released.append(1), signed)
            await source.read()
            await leave(source)
            await leave(source)
            assert await source.read() == ()
            assert not [handle for handle in getattr(asyncio.get_running_loop(), "_scheduled", ()) if not handle.cancelled()]
            return response.closes, response.aborts, len(released)

        return run(main)

    def test_closing_closes_once(self) -> None:
        assert self.left(lambda source: source.aclose()) == (1, 0, 1)

    def test_aborting_aborts_once(self) -> None:
        async def leave(source: HTTPDeltaSource) -> None:
            source.abort()

        assert self.left(leave) == (0, 1, 1)

    @pytest.mark.parametrize("how", ["aclose", "abort"])
    def test_whoever_waits_meanwhile_gets_nothing_and_no_error(self, how: str) -> None:
        async def main() -> Sequence[StreamDelta]:
            source = HTTPDeltaSource(PacedResponse(A), ChatDecoder(), TimeLimits(), 0.0, lambda: None, signed)
            await source.read()
            waiting = asyncio.create_task(source.read())
            await asyncio.sleep(1)
            await source.aclose() if how == "aclose" else source.abort()
            return await waiting

        assert run(main) == ()
