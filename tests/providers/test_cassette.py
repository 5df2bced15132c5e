"""The cassette: its file, its lanes, how a request finds its recording, and what is said of one that does not."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.errors import RecordingMissError, StoreError, StoreFormatError
from ecs_agent.providers import Capabilities, Cassette, FakeProvider, RecordingProvider, ReplayProvider
from ecs_agent.providers.recorded.cassette_line import Call
from ecs_agent.providers.recorded.request_data import request_to_data, to_json
from ecs_agent.providers.recorded.request_diff import explain
from ecs_agent.testing import run
from ecs_agent.types import Message, StreamDelta, ToolSchema, Usage

HI = [Message("user", "Hi")]


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def read(provider: Any, words: str = "Hi", **options: Any) -> list[StreamDelta]:
    return [delta async for delta in await provider.complete([Message("user", words)], stream=True, **options)]


def recorded(*answers: Any, asked: tuple[str, ...] = ("Hi",), **options: Any) -> Cassette:
    """A cassette in memory, of these questions one after another."""
    cassette = Cassette()

    async def main() -> None:
        provider = RecordingProvider(FakeProvider(answers, delay=0.5, by="word"), cassette)
        for words in asked:
            await read(provider, words, **options)

    run(main)
    return cassette


class TestFile:
    def test_people_can_read_it(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "a.jsonl"

        async def main() -> None:
            fake = FakeProvider([["Hello ", 1.0, "you.", Usage(1, 2, 3)]], delay=0.25, by="word", model="m", capabilities=Capabilities(prefill=True))
            async with RecordingProvider(fake, path) as provider:
                await read(provider, temperature=0.5)

        run(main)
        header, source, call = lines_of(path)
        assert header == {"kind": "cassette", "version": 1}
        assert (source["kind"], source["name"], source["model"], source["capabilities"]["prefill"]) == ("provider", "fake", "m", True)
        messages = [{"role": "user", "content": "Hi"}]
        assert call.pop("asked") == {"model": "m", "stream": True, "messages": messages, "options": {"temperature": 0.5}}
        assert call.pop("reads") == [
            [0.25, [{"text": "Hello "}]],
            [1.5, [{"text": "you."}]],
            [
                1.75,
                [
                    {
                        "finish_reason": "stop",
                        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
                        "raw_finish_reason": "stop",
                        "final": True,
                    }
                ],
            ],
        ]
        assert call == {"kind": "call", "number": 0, "lane": 0, "opened": 0.0, "answered": 0.0, "ended": 1.75, "provider": "fake"}

    def test_it_is_appended_to_as_requests_end_and_takes_its_place_when_closed(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_text("what was there before")
        part = tmp_path / "a.jsonl.part"
        sizes: list[int] = []

        async def main() -> None:
            with Cassette(path) as cassette:
                provider = RecordingProvider(FakeProvider(["one", "two"], delay=0), cassette)
                for _ in range(2):
                    await read(provider)
                    sizes.append(len(lines_of(part)))
                assert path.read_text() == "what was there before"
                assert cassette.recordings == []  # nothing is kept in memory

        run(main)
        assert sizes == [3, 4]
        assert len(lines_of(path)) == 4
        assert not part.exists()

    def test_one_without_requests_is_one_too(self, tmp_path: Path) -> None:
        with Cassette(tmp_path / "a.jsonl") as cassette:
            assert cassette.path == tmp_path / "a.jsonl"
        assert Cassette.load(tmp_path / "a.jsonl").recordings == []

    def test_requests_that_are_open_when_it_is_closed_are_left(self, tmp_path: Path) -> None:
        async def main() -> None:
            cassette = Cassette(tmp_path / "a.jsonl")
            stream = await RecordingProvider(FakeProvider(["one two"], by="word", delay=0), cassette).complete(HI, stream=True)
            await anext(stream)
            cassette.close()
            cassette.close()
            await stream.aclose()

        run(main)
        (call,) = Cassette.load(tmp_path / "a.jsonl").recordings
        assert (call.end, len(call.reads)) == ("left", 1)

    def test_after_that_it_records_nothing(self, tmp_path: Path) -> None:
        cassette = Cassette()
        provider = RecordingProvider(FakeProvider(["one"], delay=0), cassette)
        cassette.close()
        with pytest.raises(StoreError, match="nothing can be recorded"):
            run(lambda: read(provider))
        Cassette(tmp_path / "a.jsonl").close()
        with pytest.raises(StoreError, match="nothing can be recorded"):
            RecordingProvider(FakeProvider([]), Cassette.load(tmp_path / "a.jsonl"))

    @pytest.mark.skipif(os.name == "nt", reason="a folder that cannot be written is made otherwise there")
    def test_a_disk_that_fails_disturbs_no_answer_and_leaves_the_earlier_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_text("what was there before")

        async def main() -> list[StreamDelta]:
            cassette = Cassette(path)
            provider = RecordingProvider(FakeProvider(["one", "two"], delay=0), cassette)
            await read(provider)
            (tmp_path / "a.jsonl.part").unlink()
            (tmp_path / "a.jsonl.part").mkdir()
            deltas = await read(provider)
            with pytest.raises(StoreError, match=r"a\.jsonl could not be recorded, and is as it was before: .*[Ii]s a directory"):
                cassette.close()
            return deltas

        assert "".join([delta.content or "" for delta in run(main)]) == "two"
        assert path.read_text() == "what was there before"

    @pytest.mark.parametrize("path", [None, "a.jsonl"])
    def test_an_answer_that_is_no_data_disturbs_nobody_and_is_told_at_the_end(self, tmp_path: Path, path: str | None) -> None:
        class Odd:
            async def complete(self, messages: Any, stream: bool = False) -> Any:
                async def deltas() -> Any:
                    yield StreamDelta(content=object())  # type: ignore[arg-type]
                    yield StreamDelta(finish_reason="stop", final=True)

                return deltas()

        async def main() -> None:
            cassette = Cassette(tmp_path / path if path else None)
            stream = await RecordingProvider(Odd(), cassette).complete(HI, stream=True)
            assert not (await anext(stream)).final
            assert (await anext(stream)).final
            with pytest.raises(StoreError, match="not text"):
                cassette.close()

        run(main)
        assert not (tmp_path / "a.jsonl").exists()

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "its first line is no header"),
            ("\n", "its first line is no header"),
            ("no json", "its first line is no header"),
            ('{"kind":"call"}', "its first line is no header"),
            ('{"kind":"cassette","version":true}', "its first line is no header"),
            ('{"kind":"cassette","version":2}', "has version 2, this package reads 1"),
            ('{"kind":"cassette","version":1}\nno json', "line 2 .* damaged"),
            ('{"kind":"cassette","version":1}\n{"kind":"song"}', "line 2 .* damaged: Invalid value 'song'"),
            ('{"kind":"cassette","version":1}\n{"kind":"provider","name":"a","colour":"red"}', "line 2 .* damaged: .*colour"),
            ('{"kind":"cassette","version":1}\n{"kind":"call","number":"a"}', "line 2 .* damaged"),
            ('{"kind":"cassette","version":1}\n' + "[" * 100_000, "line 2 .* damaged"),
            ('{"kind":"cassette","version":1}\n{"kind":"cassette","version":1}', "two files were joined"),
        ],
    )
    def test_what_is_none_is_refused(self, tmp_path: Path, text: str, words: str) -> None:
        (tmp_path / "a.jsonl").write_text(text)
        with pytest.raises(StoreFormatError, match=words):
            Cassette.load(tmp_path / "a.jsonl")

    def test_one_that_is_not_there_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="No such file"):
            Cassette.load(tmp_path / "a.jsonl")

    @given(st.binary(max_size=60))
    def test_whatever_stands_in_a_line_nothing_but_a_store_error_is_raised(self, tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
        path = tmp_path_factory.getbasetemp() / "junk.jsonl"
        path.write_bytes(b'{"kind":"cassette","version":1}\n' + junk)
        try:
            Cassette.load(path)
        except StoreError:
            pass


class TestLanes:
    def test_requests_that_are_open_at_the_same_time_have_lanes_of_their_own(self) -> None:
        cassette = Cassette()

        async def main() -> None:
            provider = RecordingProvider(FakeProvider(["x"] * 5, delay=1.0, by="word"), cassette)

            async def ask(words: str, at: float) -> None:
                await asyncio.sleep(at)
                await read(provider, words)

            await asyncio.gather(*[ask(words, at) for words, at in (("a", 0.0), ("b", 0.5), ("c", 1.5), ("d", 2.25), ("e", 9.0))])

        run(main)
        assert [(call.asked["messages"][0]["content"], call.number, call.lane, call.opened) for call in cassette.recordings] == [
            ("a", 0, 0, 0.0),
            ("b", 1, 1, 0.5),
            ("c", 2, 2, 1.5),
            ("d", 3, 0, 2.25),
            ("e", 4, 0, 9.0),
        ]


class TestFinding:
    def test_a_request_finds_its_answer_in_whatever_order_it_comes(self) -> None:
        cassette = recorded("A", "B", "C", asked=("a", "b", "c"))

        async def main() -> list[str]:
            provider = ReplayProvider(cassette)
            return [(await read(provider, words))[0].content or "" for words in ("c", "a", "b")]

        assert run(main) == ["C", "A", "B"]

    def test_equal_requests_find_theirs_in_the_recorded_order(self) -> None:
        cassette = recorded("one", "two", asked=("Hi", "Hi"))

        async def main() -> list[str]:
            provider = ReplayProvider(cassette)
            return [(await read(provider))[0].content or "" for _ in range(2)]

        assert run(main) == ["one", "two"]

    @pytest.mark.parametrize("in_file", [False, True])
    def test_which_is_that_of_their_openings_not_of_their_ends(self, tmp_path: Path, in_file: bool) -> None:
        cassette = Cassette(tmp_path / "a.jsonl" if in_file else None)

        async def record() -> None:
            provider = RecordingProvider(FakeProvider([[5.0, "slow"], [1.0, "quick"]], by="word"), cassette)
            await asyncio.gather(read(provider), read(provider))
            cassette.close()

        async def replay(provider: ReplayProvider) -> list[str]:
            return [(await read(provider))[0].content or "" for _ in range(2)]

        run(record)
        assert run(lambda: replay(ReplayProvider(tmp_path / "a.jsonl" if in_file else cassette))) == ["slow", "quick"]

    def test_each_is_used_once(self) -> None:
        cassette = recorded("one", "two", asked=("Hi", "Ho"))

        async def main() -> None:
            provider = ReplayProvider(cassette)
            await read(provider)
            assert [call.number for call in provider.unused()] == [1]
            with pytest.raises(RecordingMissError, match="recorded once, and was answered as often; with repeat=True"):
                await read(provider)

        run(main)

    def test_unless_they_may_be_repeated(self) -> None:
        cassette = recorded("one", "two", asked=("Hi", "Hi"))

        async def main() -> list[str]:
            provider = ReplayProvider(cassette, repeat=True)
            return [(await read(provider))[0].content or "" for _ in range(4)]

        assert run(main) == ["one", "two", "two", "two"]
        assert cassette.unused() == []

    def test_or_all_are_rewound(self) -> None:
        cassette = recorded("one", "two", asked=("Hi", "Hi"))

        async def main() -> list[float]:
            provider = ReplayProvider(cassette, in_session=True)
            times: list[float] = []
            for _ in range(2):
                await read(provider)
                times.append(asyncio.get_running_loop().time())
            return times

        first = run(main)
        assert cassette.unused() == []
        cassette.rewind()
        assert len(cassette.unused()) == 2
        assert run(main) == first

    @pytest.mark.parametrize(
        "options",
        [
            {"read_timeout": 9.0},
            {"total_timeout": None},
            {"temperature": None},
            {"extra_headers": {"X-Key": "another one"}},
            {"stop": ("a", "b")},
        ],
        ids=lambda options: next(iter(options)),
    )
    def test_what_no_model_hears_makes_no_difference(self, options: Any) -> None:
        said: dict[str, Any] = {"extra_headers": {"x-key": "a value that is secret"}} if "extra_headers" in options else {}
        said |= {"stop": ["a", "b"]} if "stop" in options else {}
        cassette = recorded("one", **said)
        assert run(lambda: read(ReplayProvider(cassette), **options))

    @pytest.mark.parametrize(
        ("options", "place"),
        [
            ({"temperature": 0.7}, "options.temperature"),
            ({"max_tokens": 5}, "options.max_tokens"),
            ({"stop": ["x"]}, "options.stop"),
            ({"model": "large"}, "model"),
            ({"tools": [ToolSchema("look", "", {"type": "object"})]}, "options.tools"),
            ({"extra_headers": {"x-other": "v"}}, "options.extra_headers"),
        ],
    )
    def test_what_it_hears_does(self, options: Any, place: str) -> None:
        with pytest.raises(RecordingMissError, match=place):
            run(lambda: read(ReplayProvider(recorded("one")), **options))

    def test_answers_of_one_of_several_providers_can_be_asked_for(self) -> None:
        cassette = Cassette()

        async def record() -> None:
            for name in ("a", "b"):
                await read(RecordingProvider(FakeProvider([f"from {name}"], delay=0, by="chunk", name=name, model=f"of {name}"), cassette))

        run(record)

        async def replay(**whose: Any) -> str:
            return (await read(ReplayProvider(cassette, repeat=True, **whose)))[0].content or ""

        assert run(lambda: replay(name="b")) == "from b"
        assert run(lambda: replay(model="of b")) == "from b"
        assert run(replay) == "from a"
        provider = ReplayProvider(cassette, name="b")
        assert (provider.name, provider.model) == ("b", "of b")
        assert (ReplayProvider(cassette).name, ReplayProvider(cassette).model) == ("replay", "")
        with pytest.raises(RecordingMissError, match="by another provider"):
            run(lambda: replay(name="c"))

    def test_half_a_pair_of_surrogates_is_found_again(self, tmp_path: Path) -> None:
        async def record() -> None:
            async with RecordingProvider(FakeProvider(["\ud83d"], delay=0), tmp_path / "a.jsonl") as provider:
                await read(provider, "\ude00")

        run(record)
        assert run(lambda: read(ReplayProvider(tmp_path / "a.jsonl"), "\ude00"))[0].content == "\ud83d"


class TestMiss:
    def test_it_shows_where_the_nearest_recording_differs(self) -> None:
        cassette = recorded("A", "B", asked=("What is the capital of France?", "Tell me a joke about the sea."), temperature=0.0)
        with pytest.raises(RecordingMissError) as caught:
            run(lambda: read(ReplayProvider(cassette), "Tell me a joke about the lake.", temperature=0.0))
        assert str(caught.value).splitlines() == [
            "no recording answers this request; the nearest one (number 1) differs in messages[0].content:",
            "--- recorded (number 1)",
            "+++ asked",
            "@@ -2,3 +2,3 @@",
            " stream: true",
            '-messages[0].content: "Tell me a joke about the sea."',
            '+messages[0].content: "Tell me a joke about the lake."',
            ' messages[0].role: "user"',
        ]

    def test_what_is_not_used_yet_is_nearer(self) -> None:
        cassette = recorded("A", "B", asked=("one two", "three four"))

        async def main() -> None:
            provider = ReplayProvider(cassette)
            await read(provider, "one two")
            await read(provider, "one too")

        with pytest.raises(RecordingMissError, match="number 1"):
            run(main)

    def test_one_that_is_empty_says_so(self) -> None:
        with pytest.raises(RecordingMissError, match="holds no call"):
            run(lambda: read(ReplayProvider(Cassette())))

    def test_it_stays_short(self) -> None:
        asked = request_to_data([Message("user", "word " * 5_000)], True, {}, "m")
        recorded = request_to_data([Message("user", f"other {number}") for number in range(100)], True, {"temperature": 1.0}, "m")
        words = explain(recorded, asked, "number 0")
        assert len(words) < 6_000
        assert "messages[0].content, messages[1].content" in words
        assert " and 195 more places:" in words
        assert words.endswith("…")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), st.lists, max_leaves=5))
def test_json_of_equal_data_is_equal_in_whatever_order_it_was_made(value: Any) -> None:
    assert to_json({"a": value, "b": 1}, in_order=True) == to_json({"b": 1, "a": value}, in_order=True)
    assert json.loads(to_json({"a": value})) == {"a": value}


def test_a_recording_is_typed() -> None:
    (call,) = recorded("one").recordings
    assert isinstance(call, Call)
