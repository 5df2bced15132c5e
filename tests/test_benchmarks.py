"""The benchmarks run and deliver what they measure; they assert nothing about speed, and neither does this."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks import __main__ as command
from benchmarks import results
from benchmarks.agents import compete as compete_in_crews
from benchmarks.agents import deltas, fairness, journal, runs, waiting
from benchmarks.agents import memory as memory_of_agents
from benchmarks.asking import each
from benchmarks.budgets import BUDGETS
from benchmarks.codecs import CODECS, codecs
from benchmarks.collector import pauses
from benchmarks.contestants import (
    AGENT,
    AIOHTTP,
    CREW,
    CREW_CONSUMED,
    CREW_STORED,
    CREW_WATCHED,
    FLOOR,
    MSGSPEC,
    OTHER_CREWS,
    OTHERS,
    OUR_CREWS,
    OURS,
    PEERS,
    PLAIN,
    PROVIDER,
    WATCHED,
    Contestant,
)
from benchmarks.crew import Plan
from benchmarks.crew_worker import Tally as AgentTally
from benchmarks.importing import importing
from benchmarks.kernel import A, one_tick, queries
from benchmarks.report import KNOWN, PAGE, figure, page
from benchmarks.results import Results
from benchmarks.rows import Row
from benchmarks.saving import committed_steps, forks, save_and_load, saving
from benchmarks.server import ROOT, running
from benchmarks.streams import Load, Score, compete, many_streams, memory, one_stream, paced_streams, packets
from benchmarks.worker import Figures, Tally, stay_on_this_machine

from ecs_agent import Entity, World, system

pytestmark = pytest.mark.no_cover  # figures of the program, not of the tracer

# What is measured


def test_every_codec_delivers_all_deltas_and_is_compared_with_the_chat_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.codecs.DELTAS", 200)
    monkeypatch.setattr("benchmarks.codecs.ROUNDS", 1)
    rows = codecs()
    assert [row.name for row in rows] == [f"codec of {name}, {load} a read" for load in ("1 event", "16 events") for name in CODECS]
    assert [row.ratio for row in rows if "openai-chat" in row.name] == [1.0, 1.0]


def test_one_stream_is_delivered_to_every_contestant() -> None:
    rows = one_stream(deltas=2_000, rounds=2)  # more than one read
    assert [row.who for row in rows] == [contestant.name for contestant in OURS] * 2
    assert all(row.value is not None and row.value > 0 and row.note == "" for row in rows), rows
    assert rows[0].ratio == 1.0


def test_each_delta_can_have_its_own_packet() -> None:
    rows = packets((FLOOR, PROVIDER), deltas=20, interval=1_000, rounds=1)
    assert [row.note for row in rows] == ["", ""]


def test_many_streams_are_delivered_whole() -> None:
    rows = many_streams((PROVIDER, AGENT, WATCHED), streams=(1, 40), deltas=5, rounds=1)
    assert [row.note for row in rows] == [""] * 12
    assert {row.name for row in rows} >= {"1 stream of 5 deltas", "40 streams of 5 deltas: wall time"}


def test_paced_streams_keep_to_their_timetable_and_tell_how_late_they_are() -> None:
    rows = paced_streams((FLOOR, AIOHTTP, PROVIDER, WATCHED), streams=10, deltas=5, interval=10_000, rounds=1)
    assert [row.note for row in rows] == [""] * 16
    nominal = [row.value for row in rows if row.name.endswith("wall time over nominal")]
    assert all(value is not None and value >= 1 for value in nominal)
    late = [row.value for row in rows if "added latency" in row.name]
    assert len(late) == 8
    assert all(value is not None and value > 0 for value in late)


def test_an_unwatched_agent_has_no_latency() -> None:
    rows = paced_streams((AGENT,), streams=2, deltas=2, interval=1_000, rounds=1)
    assert [row.name.partition(": ")[2] for row in rows] == ["", "wall time over nominal"]
    assert [row.note for row in rows] == ["", ""]


def test_open_streams_are_weighed_while_they_are_open() -> None:
    rows = memory((FLOOR, PROVIDER), streams=20, rounds=1)
    assert [row.note for row in rows] == ["", ""]
    assert all(row.value is not None for row in rows)


@pytest.mark.parametrize("read", [1, 16])
def test_agents_are_measured_above_the_bare_model_however_they_are_watched(read: int) -> None:
    rows = deltas(OUR_CREWS, read, streams=((1, 400), (20, 20)), rounds=2)
    one, twenty, growth = (rows_named(rows, name) for name in ("a delta of 1 agent:", "a delta of 20 agents:", "growth of that"))
    for found in (one, twenty, growth):
        assert list(found) == [who.name for who in OUR_CREWS]
        assert all(row.value is not None and row.value > 0 and row.note == "" for row in found.values()), found
    for who in OUR_CREWS:
        assert growth[who.name].value == pytest.approx((twenty[who.name].value or 0) / (one[who.name].value or 1))


def rows_named(rows: list[Row], start: str) -> dict[str, Row]:
    """Those whose names begin like this, by whose they are."""
    return {row.who: row for row in rows if row.name.startswith(start)}


def test_a_journal_is_measured_beside_a_world_without_one() -> None:
    rows = journal(count=3, each=40, counts=(2,), rounds=1)
    assert {row.who for row in rows} == {CREW_STORED.name}
    assert [row.name for row in rows if row.name.startswith("a journal adds")] == [
        "a journal adds to a delta of 3 agents: one a wake-up",
        "a journal adds to a delta of 3 agents: 16 a read",
    ]
    assert [row.note for row in rows] == [""] * 6
    assert all(row.value is not None for row in rows)


def test_a_run_with_a_tool_call_is_two_turns() -> None:
    rows = runs([PLAIN, CREW, CREW_STORED], [], counts=(3,), rounds=1)
    assert [row.note for row in rows] == [""] * 6
    assert [row.value for row in rows[:3]] == pytest.approx([2 * (row.value or 0) for row in rows[3:]])
    assert rows[0].ratio == 1.0


def test_an_agent_is_weighed_before_and_after_its_run() -> None:
    at_rest, after_run = memory_of_agents([CREW], [], counts=(50,))
    assert 500 < (at_rest.value or 0) < (after_run.value or 0) < 100_000


def test_a_slow_model_is_waited_for_twice_by_all_at_once() -> None:
    rows = waiting([PLAIN, CREW], count=3, latency=0.02, rounds=1)
    assert [row.note for row in rows] == ["", ""]
    assert all(40 <= (row.value or 0) < 3_000 for row in rows)  # ms


def test_agents_that_keep_step_are_told_from_one_that_comes_after_the_other() -> None:
    rows = fairness((CREW_WATCHED, CREW_CONSUMED), count=10, each=40)
    assert all(1 <= (row.value or 0) < 5 for row in rows), rows
    tally = AgentTally(Plan(agents=2, deltas=1))
    tally.take(0, " token")
    tally.take(1, " token")
    assert tally.spread() == (0, 1)


def test_a_crew_that_fails_says_why_and_is_not_asked_again() -> None:
    nobody = Contestant("nobody", "benchmarks.nobody")
    rows = waiting([nobody], count=1, latency=0.0, rounds=2)
    assert [row.value for row in rows] == [None]
    assert "No module named 'benchmarks.nobody'" in rows[0].note


def test_a_crew_that_is_not_done_in_time_is_stopped() -> None:
    score = compete_in_crews(Plan(agents=2, deltas=3, latency=5.0), (PLAIN,), rounds=2, limit=0.2)[0]
    assert len(score.rounds) == 2  # the second by a new process
    assert score.note() == "not done in 0.2 s, 0% delivered"


async def test_pauses_of_the_collector_are_seen() -> None:
    found = await pauses(agents=20, messages=4)
    assert found.keys() == {"set-up", "run", "tuned", "forced"}
    assert found["forced"] > 0


async def test_every_system_of_a_measured_tick_is_called() -> None:
    calls: list[object] = []

    class Counted:
        async def process(self, world: World) -> None:
            calls.append(self)

    def counted() -> object:
        async def count(me: Entity, a: A) -> None:
            calls.append(a)

        return system(count)

    for systems, touched, expected in (([Counted(), Counted()], True, 8), ([counted(), counted()], True, 8), ([counted(), counted()], False, 2)):
        calls.clear()
        assert await one_tick(systems, touched=touched, ticks=3) > 0
        assert len(calls) == expected  # one tick before is not measured


def test_queries_and_the_import_are_measured() -> None:
    assert len(queries(entities=100)) == 4
    assert [row.name for row in importing((PROVIDER,), rounds=1)] == ["import", "import and set-up of the client"]


def test_saved_worlds_are_measured_beside_bare_data() -> None:
    rows = save_and_load(agents=3, messages=4)
    assert [(row.name.partition(" ")[0], row.who) for row in rows] == [
        (what, who) for what in ("save", "load") for who in (PROVIDER.name, MSGSPEC.name)
    ]
    assert all(row.value is not None and row.value > 0 for row in rows)


def test_a_committed_step_is_measured_early_and_late_and_a_fork_with_and_without_a_journal() -> None:
    rows = [*committed_steps(steps=40), *forks(messages=10, rounds=3)]
    assert [row.name for row in rows] == [
        "a committed step in the journal, the first 2",
        "a committed step in the journal, after 38",
        "a fork of an agent of 10 messages",
        "a fork of an agent of 10 messages, with a journal",
    ]
    assert all(row.value is not None and row.value > 0 for row in rows)


def test_all_groups_can_be_asked_for() -> None:
    assert command.OWN["saving"] is saving
    assert {*command.COMPARED, *command.OWN} == set(KNOWN), "a group that is measured is shown, and the other way round"


# What goes wrong is told


def test_who_is_not_done_in_time_is_stopped_and_what_was_delivered_is_told() -> None:
    load = Load("slow", streams=2, deltas=50, interval=50_000)
    score = compete(load, (PROVIDER,), rounds=2, limit=0.5)[0]
    assert re.fullmatch(r"not done in 0\.5 s, [\d.]+% delivered", score.note(load))
    assert len(score.rounds) == 2  # the second by a new process


def test_the_worst_round_is_told() -> None:
    load = Load("some", streams=2, deltas=5)
    whole, cut = Figures(True, 10, 1.0, 1.0), Figures(True, 9, 1.0, 1.0, failures={"ReadError: reset": 1})
    assert Score(PROVIDER, 60.0, [whole, whole]).note(load) == ""
    assert Score(PROVIDER, 60.0, [whole, cut, whole]).note(load) == "90% delivered, 1 x ReadError"


def test_who_cannot_start_says_why_and_is_not_asked_again() -> None:
    nobody = Contestant("nobody", "benchmarks.nobody")
    score = compete(Load("any", 1, 5), (nobody,), rounds=2)[0]
    assert score.rounds == []
    assert "No module named 'benchmarks.nobody'" in score.note(Load("any", 1, 5))


async def test_failures_are_counted_by_their_names() -> None:
    async def one(take: object) -> None:
        raise ConnectionError("no")

    assert await each(one)(3, lambda _: None) == Counter(ConnectionError=3)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])  # addresses for documentation (RFC 5737, RFC 3849)
def test_a_contestant_cannot_leave_the_machine(host: str) -> None:
    stay_on_this_machine("socket.connect", (None, ("127.0.0.1", 80)))
    with pytest.raises(RuntimeError, match="stay on this machine"):
        stay_on_this_machine("socket.connect", (None, (host, 80)))
    with pytest.raises(RuntimeError, match="stay on this machine"):
        stay_on_this_machine("socket.getaddrinfo", ("example.com", 80))


# The parts


def test_text_that_arrives_joined_counts_as_its_deltas() -> None:
    tally = Tally(paced=True)
    tally.take(" 0000000000000001 0000000000000002")
    tally.take(" 0000000000000003")
    assert tally.delivered() == 3
    assert len(tally.latencies) == 3


def test_percentiles_are_those_of_all_deltas() -> None:
    tally = Tally(paced=True)
    tally.latencies = [number * 10**9 for number in range(100, 0, -1)]
    assert tally.percentiles() == (51.0, 100.0, 100.0)


async def test_only_who_asks_for_usage_gets_it() -> None:
    with running() as address:
        assert b'"usage"' not in await _ask(address, b"{}")
        assert b'"usage"' in await _ask(address, b'{"stream_options":{"include_usage":true}}')


async def _ask(address: str, body: bytes, plan: str = "3-0") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
    writer.write(b"POST /%b/v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (plan.encode(), len(body)))
    writer.write(body)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.count(b'"content":" ') == int(plan.partition("-")[0])
    assert answer.endswith(b"data: [DONE]\n\n")
    return answer


async def test_the_chunks_of_a_varied_stream_differ_in_more_than_their_text() -> None:
    with running() as address:
        plain, varied = await _ask(address, b"{}", "200-0"), await _ask(address, b"{}", "200-0-varied")
    assert len(set(plain.split(b"\n\n")[1:201])) == 2
    assert len(set(varied.split(b"\n\n")[1:201])) > 50
    assert all(json.loads(chunk[6:])["obfuscation"] for chunk in varied.split(b"\n\n")[1:201])


async def test_a_slow_stream_does_not_hold_up_another() -> None:
    with running() as address:
        async with asyncio.timeout(20):
            slow = await _begin(address, "2-60000000")
            quick = await _begin(address, "2-1000")
            assert (await quick[0].read()).endswith(b"data: [DONE]\n\n")
        for _, writer in (slow, quick):
            writer.close()
            await writer.wait_closed()


async def _begin(address: str, plan: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for a stream and read its first delta."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
    writer.write(b"POST /%b/v1/chat/completions HTTP/1.1\r\nContent-Length: 0\r\n\r\n" % plan.encode())
    await reader.readuntil(b'"content":" ')
    return reader, writer


def test_a_row_reads_as_one_line() -> None:
    assert "2.00 x floor" in str(Row("something", 4.0, "µs", 2.0))
    assert "floor" not in str(Row("something", 4.0, "µs"))
    assert str(Row("something", None, "µs", note="failed")).endswith("failed")


def test_a_group_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["one_stream", "nothing"]) == 2
    assert "unknown group 'nothing'" in capsys.readouterr().err


# The peers


def test_every_peer_has_a_file_and_pinned_versions() -> None:
    pinned = {path.stem: path.read_text("utf-8").splitlines() for path in (ROOT / "benchmarks" / "peers").glob("*.txt")}
    assert set(pinned) == {peer.environment for peer in OTHERS} | {"plot"}
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for lines in pinned.values() for line in lines)
    assert all((ROOT / f"{peer.module.replace('.', '/')}.py").exists() for peer in OTHERS)


@pytest.mark.parametrize("peer", OTHERS, ids=lambda peer: peer.environment)
def test_a_peer_reads_what_we_read(peer: Contestant) -> None:
    if not peer.is_installed:
        pytest.skip("the peers are not installed: make peers")
    load = Load("one stream", 1, 120)
    score = compete(load, (peer,), rounds=1)[0]
    assert score.note(load) == ""


@pytest.mark.parametrize("peer", OTHER_CREWS, ids=lambda peer: peer.environment)
def test_the_agents_of_a_peer_do_what_ours_do(peer: Contestant) -> None:
    if not peer.is_installed:
        pytest.skip("the peers are not installed: make peers")
    for plan in (Plan(agents=3, deltas=40, read=1), Plan(agents=3, tool=True)):
        score = compete_in_crews(plan, (peer,), rounds=1)[0]
        assert score.note() == ""
        assert score.rounds[0].delivered == plan.agents * plan.deltas


# What is kept of it


@pytest.fixture
def found() -> Results:
    streams = [
        Row("one stream of 10 deltas", 2.0, "µs CPU/delta", 1.0, FLOOR.name),
        Row("one stream of 10 deltas", 2.5, "µs CPU/delta", 1.25, AIOHTTP.name),
        Row("one stream of 10 deltas", 3.5, "µs CPU/delta", 1.75, PROVIDER.name),
        Row("one stream of 10 deltas", None, "µs CPU/delta", None, OTHERS[0].name, "0% delivered, 1 x PoolTimeout"),
    ]
    return Results(
        date="2026-01-02",
        command="python -m benchmarks --peers",
        machine={"CPU": "A Chip", "cores": "2", "system": "Linux 6", "Python": "CPython 3.11.0", "load before": "0.10"},
        versions={PROVIDER.name: {"ecs-agent": "9.9"}, OTHERS[0].name: {OTHERS[0].package or "": "1.2.3"}},
        rows={"one_stream": streams, "importing": [Row("import", 70.0, "ms CPU")], "ticks": [Row("a call", 1234.5, "µs CPU/call")]},
    )


def test_results_are_what_was_saved(found: Results, tmp_path: Path) -> None:
    found.save(tmp_path / "results.json")
    assert results.load(tmp_path / "results.json") == found


def test_saving_again_keeps_the_groups_that_were_not_measured_again(found: Results, tmp_path: Path) -> None:
    found.save(tmp_path / "results.json")
    again = replace(found, rows={"ticks": [Row("a call", 1.0, "µs CPU/call")]}, versions={})
    again.save(tmp_path / "results.json")
    assert results.load(tmp_path / "results.json") == replace(found, rows={**found.rows, **again.rows})
    replace(found, command="all of it").save(tmp_path / "results.json")
    assert results.load(tmp_path / "results.json").command == "all of it"


def test_a_days_sessions_are_all_named_and_the_busiest_of_them_told(found: Results, tmp_path: Path) -> None:
    found.save(tmp_path / "results.json")
    later = replace(found, command="later", rows={"codecs": [Row("a codec", 1.0, "µs CPU/delta")]}, machine={**found.machine, "load before": "0.05"})
    for _ in range(2):
        later.save(tmp_path / "results.json")
    saved = results.load(tmp_path / "results.json")
    assert (saved.command, saved.machine["load before"]) == ("python -m benchmarks --peers; later", "0.10")


def test_the_page_names_the_machine_and_sets_figures_side_by_side(found: Results) -> None:
    text = page(found)
    assert "2026-01-02" in text
    assert "2 cores of A Chip" in text
    assert "| one stream of 10 deltas, µs CPU/delta | 2 | 2.5 | 3.5 | 1.75 | 1.40 |  |  |" in text
    assert "| one stream of 10 deltas, µs CPU/delta | 2 | 3.5 | - * |" in text
    assert "* one stream of 10 deltas: ecs-agent 0.1.0: 0% delivered, 1 x PoolTimeout" in text
    assert "| a call | 1,234 µs CPU/call |" in text
    assert "| ecs-agent 0.1.0 | ecs-agent 1.2.3 |" in text


def test_the_page_sets_agents_beside_their_peers(found: Results) -> None:
    assert "agents were not measured in this session" in page(found)
    name = "a delta of 1,000 agents: one a wake-up"
    rows = [
        Row(name, 1.0, "µs CPU/delta", who=CREW.name),
        Row("a delta of 1,000 agents: 16 a read", 0.5, "µs CPU/delta", who=CREW.name),
        Row(name, 9.0, "µs CPU/delta", who=CREW_CONSUMED.name),
        Row(name, 100.0, "µs CPU/delta", None, OTHER_CREWS[0].name, "20% delivered"),
        Row("a run with one tool call, 1,000 agents", 50.0, "µs CPU/run"),
        Row("a run with one tool call, 1,000 agents: each of its 2 turns", 25.0, "µs CPU/turn"),
        Row("200 agents, 50 ms a response: wall time", 100.0, "ms", 1.0, PLAIN.name),
        Row("200 agents, 50 ms a response: wall time", 150.0, "ms", 1.5, CREW.name),
    ]
    text = page(replace(found, rows={**found.rows, "agents": rows, "turns": [Row("a run with one tool call, 1,000 agents", 7.0, "µs CPU/agent")]}))
    assert "agents were not measured" not in text
    assert f"| what | plain tasks | ecs_agent | ecs_agent, a consumer each | {OTHER_CREWS[0].name} |" in text
    assert f"| {name}, µs CPU/delta |  | 1 | 9 | 100 * |" in text
    assert f"* a delta of 1,000 agents: {OTHER_CREWS[0].name}: 20% delivered" in text
    assert "| a delta of 1,000 agents: 16 a read | 0.5 µs CPU/delta | ≤ 1.5 µs CPU/delta |" in text
    assert f"| {name} | 1 µs CPU/delta | ≤ 1.5" not in text  # one a wake-up, only a consumer each is held to its budget
    assert f"| {name}, a consumer each | **9 µs CPU/delta** | ≤ 8 µs CPU/delta |" in text
    assert "| a run with one tool call, 1,000 agents | **50 µs CPU/run** | ≤ 40 µs CPU/run |" in text
    assert "| a run with one tool call, 1,000 agents: each of its 2 turns | 25 µs CPU/turn | ≤ 40 µs CPU/turn |" in text
    assert "| 200 agents, 50 ms a response: wall time | **1.50 x plain tasks** | ≤ 1.30 x plain tasks |" in text
    assert "µs CPU/agent" not in text  # of a group that is no longer measured


def test_the_page_tells_what_a_journal_and_a_saved_world_cost(found: Results) -> None:
    assert "Saved worlds" not in page(found)
    assert "saved worlds were measured" not in page(found)
    agents = [
        Row("a journal adds to a delta of 1,000 agents: 16 a read", 2.0, "µs CPU/delta", who=CREW_STORED.name),
        Row("a journal adds to a delta of 1,000 agents: one a wake-up", 6.5, "µs CPU/delta", who=CREW_STORED.name),
        Row("a journal adds to a delta of 5,000 agents: 16 a read", 9.0, "µs CPU/delta", who=CREW_STORED.name),
        Row("a run with one tool call, 1,000 agents: each of its 2 turns", 80.0, "µs CPU/turn", who=CREW_STORED.name),
    ]
    stored = [
        Row("save 1,000 agents of 50 messages", 40.0, "ms CPU", 4.0),
        Row("save 1,000 agents of 50 messages", 10.0, "ms CPU", 1.0, MSGSPEC.name),
        Row("a committed step in the journal, the first 500", 100.0, "µs CPU/step"),
        Row("a committed step in the journal, after 9,500", 300.0, "µs CPU/step"),
        Row("a fork of an agent of 1,000 messages", 50.0, "µs CPU"),
        Row("a fork of an agent of 1,000 messages, with a journal", 120.0, "µs CPU"),
    ]
    text = page(replace(found, rows={**found.rows, "journal": agents, "saving": stored}))
    assert "| a journal adds to a delta of 1,000 agents: 16 a read | **2 µs CPU/delta** | ≤ 1.5 µs CPU/delta |" in text
    assert "| a journal adds to a delta of 1,000 agents: one a wake-up | 6.5 µs CPU/delta | ≤ 7 µs CPU/delta |" in text
    assert "| a journal adds to a delta of 5,000 agents: 16 a read | **" not in text  # no budget
    assert "| a run with one tool call, 1,000 agents: each of its 2 turns, a journal | 80 µs CPU/turn | ≤ 90 µs CPU/turn |" in text
    assert "| save 1,000 agents of 50 messages | **4.00 x msgspec** | ≤ 3.00 x msgspec |" in text
    assert "| a committed step in the journal, the first 500 | 100 µs CPU/step | ≤ 250 µs CPU/step |" in text
    assert "| a committed step in the journal, after 9,500 | **300 µs CPU/step** | ≤ 250 µs CPU/step |" in text
    assert "| a fork of an agent of 1,000 messages | 50 µs CPU | ≤ 100 µs CPU |" in text
    assert "| a fork of an agent of 1,000 messages, with a journal | **120 µs CPU** | ≤ 100 µs CPU |" in text
    assert "| save 1,000 agents of 50 messages, ms CPU | 40 | 10 | 4.00 |" in text
    assert "saved worlds were measured" in text


def test_the_page_says_which_budgets_are_missed(found: Results) -> None:
    text = page(found)
    assert "1 of 3 are missed" in text
    assert "| one stream of 10 deltas | 1.75 x raw socket | ≤ 2.00 x raw socket |" in text
    assert "| one stream of 10 deltas | 1.40 x aiohttp | ≤ 1.50 x aiohttp |" in text
    assert "| import | **70 ms CPU** | ≤ 60 ms CPU |" in text


def test_a_budget_is_missed_when_something_was_lost() -> None:
    budget = BUDGETS[0]
    floor, own = Row("one stream of 5 deltas", 2.0, "µs", who=FLOOR.name), Row("one stream of 5 deltas", 2.0, "µs")
    assert [verdict.is_kept for verdict in [budget.judge([floor, own])] if verdict] == [True]
    assert [verdict.is_kept for verdict in [budget.judge([floor, replace(own, note="99% delivered")])] if verdict] == [False]
    assert budget.judge([own]) is None


@pytest.mark.parametrize(("value", "text"), [(0.1234, "0.12"), (1.0, "1"), (12.345, "12.3"), (999.4, "999"), (999.6, "1,000"), (12345.6, "12,346")])
def test_figures_have_the_digits_that_count(value: float, text: str) -> None:
    assert figure(value) == text


def test_what_was_not_measured_again_is_taken_over_with_its_day(tmp_path: Path) -> None:
    old = results.gather({"ticks": [Row("a tick", 1.0, "µs")], "idle": [Row("idle", 2.0, "ms")]}, OURS, "old", 0.0)
    replace(old, date="2026-01-01").save(tmp_path / "2026-01-01.json")
    new = results.gather({"idle": [Row("idle", 3.0, "ms")]}, OURS, "new", 0.0)
    replace(new, date="2026-01-02").save(tmp_path / "2026-01-02.json")
    found = results.load(tmp_path / "2026-01-02.json")
    assert (found.rows["ticks"][0].value, found.rows["idle"][0].value) == (1.0, 3.0)
    assert found.dates == {"ticks": "2026-01-01"}
    assert "Not measured again since: `ticks` on 2026-01-01." in page(found)
    again = results.gather({"ticks": [Row("a tick", 4.0, "µs")]}, OURS, "newer", 0.0)
    replace(again, date="2026-01-02").save(tmp_path / "2026-01-02.json")
    last = results.load(tmp_path / "2026-01-02.json")
    assert (last.rows["ticks"][0].value, last.rows["idle"][0].value, last.dates) == (4.0, 3.0, {})


def test_the_page_is_that_of_the_newest_results() -> None:
    if not PAGE.exists():
        pytest.skip("nothing was measured yet: make bench-peers")
    assert PAGE.read_text("utf-8") == page(results.load(results.newest())), "render it again: python -m benchmarks.report"


def test_the_same_figures_give_the_same_picture(found: Results, tmp_path: Path) -> None:
    python = PEERS / "plot" / "bin" / "python"
    if not python.exists():
        pytest.skip("what draws is not installed: make peers")
    found.save(tmp_path / "results.json")
    for name in ("a.svg", "b.svg"):
        subprocess.run([python, "-m", "benchmarks.plot", tmp_path / "results.json", tmp_path / name], cwd=ROOT, check=True)
    drawn = (tmp_path / "a.svg").read_text("utf-8")
    assert drawn == (tmp_path / "b.svg").read_text("utf-8")
    assert "nothing delivered" in drawn
