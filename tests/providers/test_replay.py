"""Replaying: the recorded answers, delta by delta and moment by moment; the law is replay(record(x)) = x."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_agent import World, spawn_agent, tool
from ecs_agent.errors import (
    AuthenticationError,
    ProviderConnectionError,
    ProviderError,
    RateLimitError,
    RecordingMissError,
    ServerError,
    StoreFormatError,
    StreamInterruptedError,
    UnsupportedFeatureError,
)
from ecs_agent.providers import (
    Capabilities,
    Cassette,
    FakeProvider,
    OpenAIProvider,
    RecordingProvider,
    RecordingTransport,
    ReplayProvider,
    ReplayTransport,
    Script,
    TransportRequest,
)
from ecs_agent.providers.capabilities import ASSUMED
from ecs_agent.testing import FaultPlan, Reply, ScriptedTransport, assert_stream_laws, random_script, run, scripted_reply
from ecs_agent.types import CompletionResult, Message, StreamDelta, ToolCall, Usage

HI = [Message("user", "Hi")]
Report = tuple[list[tuple[float, StreamDelta]], CompletionResult | None, tuple[Any, ...] | None]
HEADER = '{"kind":"cassette","version":1}\n'


async def reported(provider: Any, *, stream: bool = True, **options: Any) -> Report:
    """Everything that can be seen of an answer: deltas with their times, the result, the error."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    deltas: list[tuple[float, StreamDelta]] = []
    try:
        answer = await provider.complete(HI, stream, **options)
        if not stream:
            return deltas, answer, None
        async for delta in answer:
            deltas.append((round(loop.time() - started, 6), delta))  # noqa: PERF401 - what came before an error is kept
        return deltas, replace(answer.result(), timing=None), None
    except ProviderError as error:
        partial = replace(error.partial, timing=None) if error.partial is not None else None
        told = (type(error), str(error), error.status, error.retryable, error.retry_after, error.request_id, error.provider, error.model)
        return deltas, partial, told


def recording(make: Callable[[Cassette], Any], **options: Any) -> tuple[Report, Cassette]:
    cassette = Cassette()
    return run(lambda: reported(make(cassette), **options)), cassette


class TestLaw:
    """What a replay reports is what was reported."""

    @pytest.mark.parametrize("stream", [False, True])
    @settings(deadline=None)
    @given(seed=st.integers(0, 10_000), by=st.sampled_from(["word", "chunk", 3]))
    def test_of_any_script(self, stream: bool, seed: int, by: Any) -> None:
        script = random_script(seed)
        before, cassette = recording(lambda tape: RecordingProvider(FakeProvider([script], by=by, delay=0.01), tape), stream=stream)
        assert run(lambda: reported(ReplayProvider(cassette), stream=stream)) == before

    @settings(deadline=None)
    @given(stream=st.booleans(), seed=st.integers(0, 10_000), fail_after=st.integers(0, 5))
    def test_of_any_failure(self, stream: bool, seed: int, fail_after: int) -> None:
        error = RateLimitError("slow down", status=429, retry_after=2.5, request_id="r", provider="p", model="m")
        script = replace(random_script(seed), error=error, fail_after=fail_after)
        before, cassette = recording(lambda tape: RecordingProvider(FakeProvider([script], by=2, delay=0.01), tape), stream=stream)
        assert before[2] is not None
        assert run(lambda: reported(ReplayProvider(cassette), stream=stream)) == before

    @settings(deadline=None)
    @given(seed=st.integers(0, 10_000))
    def test_of_any_fault_of_a_connection(self, seed: int) -> None:
        """The bytes are recorded, and what they mean is worked out anew."""
        script, plan = random_script(seed), FaultPlan.random(seed)

        def provider(transport: Any) -> OpenAIProvider:
            return OpenAIProvider("key", "https://api.example.com/v1", "m", transport=transport, read_timeout=30.0)

        reply = scripted_reply(script, plan)
        before, cassette = recording(lambda tape: provider(RecordingTransport(ScriptedTransport([reply]), tape)))
        after = run(lambda: reported(provider(ReplayTransport(cassette))))
        assert after == before
        assert cassette.unused() == []

    def test_from_a_file_as_from_memory(self, tmp_path: Path) -> None:
        answers: list[Any] = [["One ", 0.5, ToolCall("c", "f", {"a": 1}), Usage(1, 2, 3)], ServerError("down", status=503)]

        async def record(cassette: Any) -> list[Report]:
            async with RecordingProvider(FakeProvider(answers, by="word"), cassette) as provider:
                return [await reported(provider) for _ in answers]

        async def replay() -> list[Report]:
            provider = ReplayProvider(tmp_path / "a.jsonl")
            return [await reported(provider) for _ in answers]

        before = run(lambda: record(tmp_path / "a.jsonl"))
        assert run(replay) == before

    def test_its_streams_keep_the_laws(self) -> None:
        cassette = Cassette()
        answers = ["One two three four."] * 7

        async def main(provider: Any) -> None:
            await assert_stream_laws(provider, deterministic=True)

        run(lambda: main(RecordingProvider(FakeProvider(answers, by="word"), cassette)))
        replaying = ReplayProvider(cassette)
        run(lambda: main(replaying))
        assert replaying.unused() == []

    def test_so_do_those_of_a_provider_behind_a_replayed_transport(self) -> None:
        cassette = Cassette()

        async def main(transport: Any) -> None:
            await assert_stream_laws(OpenAIProvider("key", "https://api.example.com/v1", "m", transport=transport), deterministic=True)

        run(lambda: main(RecordingTransport(ScriptedTransport(["One two three four."], delay=0.01), cassette)))
        run(lambda: main(ReplayTransport(cassette)))
        assert cassette.unused() == []


class TestTime:
    @pytest.mark.parametrize(("speed", "factor"), [(1.0, 1.0), (2.0, 0.5), (0.5, 2.0), (None, 0.0), (float("inf"), 0.0)])
    def test_answers_come_when_they_came_or_faster(self, speed: float | None, factor: float) -> None:
        (before, _, _), cassette = recording(lambda tape: RecordingProvider(FakeProvider([["a", 3.0, "b"]], delay=0.5), tape))
        deltas, _, _ = run(lambda: reported(ReplayProvider(cassette, speed=speed)))
        assert [at for at, _ in before] == [0.5, 4.0, 4.5]
        assert [at for at, _ in deltas] == [at * factor for at, _ in before]

    def test_whole_answers_too(self) -> None:
        _, cassette = recording(lambda tape: RecordingProvider(FakeProvider([["a", 3.0, "b"]]), tape), stream=False)

        async def main() -> float:
            await ReplayProvider(cassette, speed=2.0).complete(HI)
            return asyncio.get_running_loop().time()

        assert run(main) == 1.5

    @pytest.mark.parametrize("speed", [0, -1.0, float("nan"), True])
    def test_a_speed_is_more_than_nothing(self, speed: float) -> None:
        with pytest.raises(ValueError, match="speed is"):
            ReplayProvider(Cassette(), speed=speed)
        with pytest.raises(ValueError, match="speed is"):
            ReplayTransport(Cassette(), speed=speed)

    @pytest.mark.parametrize(("in_session", "order"), [(True, ["slow", "quick"]), (False, ["quick", "slow"])])
    def test_several_agents_answers_can_come_in_the_recorded_order_though_the_agents_are_faster_now(self, in_session: bool, order: list[str]) -> None:
        cassette = Cassette()
        ended: list[str] = []

        async def agent(provider: Any, words: str, thinks: float) -> None:
            await asyncio.sleep(thinks)
            await provider.complete([Message("user", words)])
            ended.append(words)

        async def both(provider: Any, thinks: float) -> None:
            await asyncio.gather(agent(provider, "slow", 0.0), agent(provider, "quick", thinks))

        fake = FakeProvider([[5.0, "x"], [1.0, "x"]])
        run(lambda: both(RecordingProvider(fake, cassette), 10.0))
        ended.clear()
        run(lambda: both(ReplayProvider(cassette, in_session=in_session), 0.0))
        assert ended == order

    def test_so_can_those_over_http(self) -> None:
        cassette = Cassette()
        request = TransportRequest("http://127.0.0.1/", {}, b"{}")

        async def main(transport: Any, pause: float) -> float:
            (await transport.open(request)).abort()
            await asyncio.sleep(pause)
            (await transport.open(request)).abort()
            return asyncio.get_running_loop().time()

        run(lambda: main(RecordingTransport(ScriptedTransport(["x"]), cassette), 10.0))
        assert run(lambda: main(ReplayTransport(cassette, in_session=True, speed=2.0), 0.0)) == 5.0


class TestLeaving:
    """A recording ends where its recorder left; what would have come then is not known."""

    def left(self, *, stream: bool) -> Cassette:
        cassette = Cassette()

        async def main() -> None:
            provider = RecordingProvider(FakeProvider([["a", 10.0, "b"]], delay=1.0), cassette)
            try:
                async with asyncio.timeout(5):
                    await reported(provider, stream=stream)
            except TimeoutError:
                pass

        run(main)
        return cassette

    @pytest.mark.parametrize("stream", [False, True])
    def test_who_leaves_again_is_not_disturbed(self, stream: bool) -> None:
        cassette = self.left(stream=stream)

        async def main() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5.5):
                    await reported(ReplayProvider(cassette), stream=stream)

        run(main)

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("speed", [1.0, None])
    def test_who_stays_is_told(self, stream: bool, speed: float | None) -> None:
        cassette = self.left(stream=stream)
        with pytest.raises(RecordingMissError, match=r"whoever asked then left after 5 s and . reads"):
            run(lambda: reported(ReplayProvider(cassette, speed=speed), stream=stream))

    def test_so_is_who_stays_longer_with_a_transport(self) -> None:
        cassette = Cassette()
        request = TransportRequest("http://127.0.0.1/", {}, b"{}")

        async def record() -> None:
            response = await RecordingTransport(ScriptedTransport(["one two"]), cassette).open(request)
            await response.read()
            await response.aclose()

        async def replay() -> None:
            response = await ReplayTransport(cassette).open(request)
            while await response.read():
                pass

        run(record)
        with pytest.raises(RecordingMissError, match="left after"):
            run(replay)


class TestAgents:
    """Runs of agents, not only requests."""

    @pytest.mark.parametrize("speed", [1.0, None])
    def test_a_crew_with_tools_replays_though_its_members_begin_in_another_order(self, speed: float | None) -> None:
        cassette = Cassette()

        def answer(messages: Sequence[Message]) -> Any:
            if messages[-1].role == "tool":
                return f"Done with {messages[0].content}."
            return [f"I look, {messages[0].content}. ", 0.1, ToolCall("c1", "look", {"place": messages[0].content})]

        @tool
        async def look(place: str) -> str:
            """Look."""
            return f"nothing at {place}"

        async def crew(provider: Any, names: Sequence[str]) -> dict[str, list[Message]]:
            async with World() as world:
                agents = {name: spawn_agent(world, provider, tools=[look]) for name in names}
                await asyncio.gather(*[agent.ask(name) for name, agent in agents.items()])
                return {name: list(agents[name].messages) for name in sorted(agents)}

        names = [f"place {number}" for number in range(5)]
        before = run(lambda: crew(RecordingProvider(FakeProvider([answer] * 10), cassette), names))
        replaying = ReplayProvider(cassette, speed=speed)
        assert run(lambda: crew(replaying, names[::-1])) == before
        assert replaying.unused() == []

    def test_a_changed_prompt_is_a_loud_miss(self) -> None:
        cassette = Cassette()

        async def main(provider: Any, prompt: str) -> str:
            async with World() as world:
                return await spawn_agent(world, provider, system_prompt=prompt).ask("Hello")

        run(lambda: main(RecordingProvider(FakeProvider(["Hi."]), cassette), "Be kind."))
        with pytest.raises(RecordingMissError, match=r"differs in messages\[0\]\.content"):
            run(lambda: main(ReplayProvider(cassette), "Be rude."))


class TestProvider:
    def test_it_says_what_the_recorded_one_said(self) -> None:
        able = Capabilities(prefill=True, context_window=100)
        _, cassette = recording(lambda tape: RecordingProvider(FakeProvider(["x"], name="n", model="m", capabilities=able), tape))
        provider = ReplayProvider(cassette)
        assert (provider.name, provider.model, provider.capabilities) == ("n", "m", able)
        assert repr(provider) == "ReplayProvider(1 recordings, 1 unused)"
        assert ReplayProvider(Cassette()).capabilities == ASSUMED

    async def test_it_refuses_what_every_provider_refuses(self) -> None:
        provider = ReplayProvider(Cassette())
        with pytest.raises(UnsupportedFeatureError):
            await provider.complete(HI, stream=True, response_format={})
        with pytest.raises(TypeError):
            await provider.complete("Hi")  # type: ignore[arg-type]

    def test_a_failure_that_was_none_of_ours_comes_as_one(self) -> None:
        class Broken:
            async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
                raise ZeroDivisionError("a bug")

        cassette = Cassette()

        async def main(provider: Any) -> None:
            await provider.complete(HI)

        with pytest.raises(ZeroDivisionError):
            run(lambda: main(RecordingProvider(Broken(), cassette)))
        with pytest.raises(RuntimeError, match="ZeroDivisionError: a bug"):
            run(lambda: main(ReplayProvider(cassette)))

    def test_an_error_over_http_is_classified_anew(self) -> None:
        cassette = Cassette()

        async def main(transport: Any) -> ProviderError:
            with pytest.raises(AuthenticationError) as caught:
                await OpenAIProvider("key", "https://api.example.com/v1", "m", transport=transport).complete(HI)
            return caught.value

        answers = [AuthenticationError("bad key", status=401)]
        assert str(run(lambda: main(RecordingTransport(ScriptedTransport(answers), cassette)))) == str(run(lambda: main(ReplayTransport(cassette))))
        assert ReplayTransport(cassette).unused() == []

    def test_nobody_answers_again_where_nobody_answered(self) -> None:
        cassette = Cassette()

        async def main(transport: Any) -> None:
            await OpenAIProvider("key", "https://api.example.com/v1", "m", transport=transport).complete(HI)

        with pytest.raises(ProviderConnectionError, match="without an answer"):
            run(lambda: main(RecordingTransport(ScriptedTransport([Reply([], end="hangup")]), cassette)))
        with pytest.raises(ProviderConnectionError, match="without an answer"):
            run(lambda: main(ReplayTransport(cassette)))

    @pytest.mark.parametrize("replayed", ["stream", "response"])
    def test_closing_wakes_whoever_waits(self, replayed: str) -> None:
        cassette = Cassette()
        request = TransportRequest("http://127.0.0.1/", {}, b"{}")

        async def record() -> None:
            await reported(RecordingProvider(FakeProvider([[9.0, "x"]], delay=0), cassette))
            response = await RecordingTransport(ScriptedTransport([Reply([9.0, b"x"])]), cassette).open(request)
            while await response.read():
                pass

        async def main() -> float:
            stream: Any = await (
                ReplayProvider(cassette).complete(HI, stream=True) if replayed == "stream" else ReplayTransport(cassette).open(request)
            )
            reading = asyncio.ensure_future(stream.read())
            await asyncio.sleep(1)
            await stream.aclose()
            if replayed == "stream":
                assert await reading == ()
            else:
                with pytest.raises(StreamInterruptedError, match="was closed"):
                    await reading
            return asyncio.get_running_loop().time()

        run(record)
        assert run(main) == 1.0

    def test_a_miss_over_http_shows_the_body_and_not_the_host(self) -> None:
        cassette = Cassette()

        async def main(base_url: str, words: str, transport: Any) -> None:
            await OpenAIProvider("key", base_url, "m", transport=transport).complete([Message("user", words)])

        run(lambda: main("https://api.example.com/v1", "sea", RecordingTransport(ScriptedTransport(["x"]), cassette)))
        with pytest.raises(RecordingMissError) as caught:
            run(lambda: main("http://127.0.0.1:9/v1", "lake", ReplayTransport(cassette)))
        assert "differs in body.messages[0].content:\n" in str(caught.value)
        assert "9/v1" not in str(caught.value)
        with pytest.raises(RecordingMissError, match=r"differs in url, body\.messages\[0\]\.content"):
            run(lambda: main("http://127.0.0.1:9/v2", "lake", ReplayTransport(cassette)))

    async def test_closing_a_transport_closes_nothing(self) -> None:
        transport = ReplayTransport(Cassette())
        await transport.aclose()
        await transport.aclose()


ASKED = '"asked":{"model":"","stream":STREAM,"messages":[{"role":"user","content":"Hi"}]}'
CALL = '{"kind":"call","number":0,"lane":0,"opened":0.0,"ended":0.0,"provider":"p",' + ASKED


@pytest.mark.parametrize(
    "line",
    [
        CALL + "}",
        CALL + ',"result":{}}',
        CALL + ',"result":{"message":{"role":"nobody"}}}',
        CALL + ',"result":{"message":{"role":"user"},"colour":1}}',
        CALL + ',"end":"error","error":{}}',
        CALL + ',"end":"error","error":{"kind":"song","message":"x"}}',
        CALL + ',"end":"error","error":{"kind":"server","message":"x","colour":1}}',
        CALL + ',"end":"error","error":{"kind":"other","message":"x"}}',
        CALL + ',"answered":0.0,"reads":[[0.0,[{"text":1}]]]}',
        CALL + ',"answered":0.0,"reads":[[0.0,{}]]}',
        CALL + ',"answered":0.0,"end":"error","error":{}}',
    ],
)
def test_a_damaged_recording_is_told_as_such(tmp_path: Path, line: str) -> None:
    stream = '"answered"' in line
    (tmp_path / "a.jsonl").write_text(HEADER + line.replace("STREAM", str(stream).lower()))
    with pytest.raises(StoreFormatError, match="the recording number 0 is damaged"):
        run(lambda: reported(ReplayProvider(tmp_path / "a.jsonl"), stream=stream))


@pytest.mark.parametrize("rest", [',"reads":[[0.0,1]]', ',"reads":[[0.0,{"base64":"?"}]]', ',"end":"error","error":{}'])
def test_so_is_that_of_an_exchange(tmp_path: Path, rest: str) -> None:
    asked = '{"kind":"exchange","number":0,"lane":0,"opened":0.0,"answered":0.0,"ended":0.0,"status":200,"asked":{"method":"POST","url":"http://h/p","body":{}}'
    (tmp_path / "a.jsonl").write_text(HEADER + asked + rest + "}")

    async def main() -> None:
        response = await ReplayTransport(tmp_path / "a.jsonl").open(TransportRequest("http://other/p", {}, b"{}"))
        await response.read()

    with pytest.raises(StoreFormatError, match="the recording number 0 is damaged"):
        run(main)


def test_an_answer_recorded_with_a_capability_that_is_not_known_here_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(HEADER + '{"kind":"provider","name":"n","capabilities":{"prefill":true,"telepathy":true}}')
    assert ReplayProvider(tmp_path / "a.jsonl").capabilities == Capabilities(prefill=True)


def test_a_script_is_what_is_replayed() -> None:
    """The helpers above can fail."""
    before, _ = recording(lambda tape: RecordingProvider(FakeProvider([Script("one")]), tape))
    after, _ = recording(lambda tape: RecordingProvider(FakeProvider([Script("two")]), tape))
    assert before != after
