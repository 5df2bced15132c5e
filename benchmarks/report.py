"""Render docs/benchmarks.md and its picture from the newest results, or from a file named on the command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import results
from benchmarks.budgets import AGENTS, BUDGETS, Verdict
from benchmarks.contestants import AGENT, AIOHTTP, FLOOR, MSGSPEC, OTHER_CREWS, OTHERS, OUR_CREWS, PEERS, PLAIN, PROVIDER, WATCHED, Contestant
from benchmarks.results import LOAD, Results
from benchmarks.rows import Row
from benchmarks.server import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "benchmarks.svg"
COMPARED = ("one_stream", "packets", "many_streams", "paced_streams", "memory")
OWN = ("ticks", "queries", "idle", "collector", "journal")
KNOWN = (*COMPARED, "codecs", "agents", "saving", *OWN, "importing")
"""What is shown; results may hold groups that are no longer measured."""

HOW = """## How it was measured

* A model server in a process of its own answers over loopback sockets. What it sends at full speed is made beforehand; paced streams keep to their
  timetable however slowly they are read. Every contestant reads the same bytes.
* The chunks of a stream differ in their text alone, as those of most servers do. In the *varied* stream each also has a time that goes on and
  padding of random length, as those of some vendors have.
* Each contestant runs in a process of its own, is imported and warmed up by one short stream, and then asks in turn with the others, round after
  round. A figure is the median of its rounds. Who needs more than 30 s in all is not asked for another round; who needs more than 60 s for one is
  stopped, and what was delivered by then is told.
* CPU is `time.process_time` of the contestant's process, from the request to the last delta, over the deltas that were delivered. It includes what
  the kernel does for that process.
* The *raw socket* is an asyncio socket whose body is split at blank lines and decoded by msgspec into typed values; *aiohttp* is the same over
  that HTTP client. They check nothing, keep nothing, and know no error.
* *ecs_agent* is `OpenAIProvider` under `async for`; *agent* is agents in one World, whose answers become state and log, unwatched; *agent, watched*
  has one subscriber to the whole World.
* Added latency is from the moment at which the server sends a delta, which is written into its text, to the reader's hands.
* Memory is the resident memory of the process, when each of the streams has got its first delta, less that before.
* This package loads its parts when they are first used, so its import costs nothing; *import and set-up* counts what is loaded then, for everybody.
* The others are used as their documentation shows, with their own limits and defaults; tracing and telemetry are off, and nothing leaves the machine.
"""

SIDE_BY_SIDE = """Agents side by side in one process, answered by a fake model in the same process: what is left is what a framework itself costs."""

HOW_AGENTS = """## How agents were measured

* Everybody gets the same plans: 1 agent with 20,000 deltas, 100 with 400, 1,000 with 200, 5,000 with 100. What a delta costs is the CPU time of the
  run less that of as many streams of the same fake model, read by plain tasks, over the deltas that were delivered. What it costs to begin and to
  end a run is in it; at 5,000 agents that is spread over 100 deltas alone.
* *One a wake-up*: the stream lets go of the event loop after each delta, as one whose packets come one by one. *16 a read*: after 16 of them.
* The fake model is written against each one's interface for models and makes what its real ones make, the chunk or event of a delta, beforehand
  where it may be shared; that is not counted. What a framework then does with each piece, as pydantic-ai's manager of parts and our fold, is.
* *ecs_agent* is agents in one World whom nobody watches; *one subscriber* iterates over the events of the whole World; *a consumer each* is a task
  for each agent that iterates over the events of that agent alone. That one is what the others are to be compared with: in theirs, too, each
  agent's own task takes its deltas.
* *Most over least received*, of 1,000 agents with 50 deltas each, is the deltas of the foremost agent over those of the hindmost, at the moment
  when the first has all of its own.
* The *run with one tool call* is two turns: the model asks for a tool, an async function of two numbers is called, the model answers. A *turn* is
  one response and the calls it asked for. *Plain tasks* do the same by hand, and hold nothing. In the row with a slow model each response begins
  after 50 ms.
* The others are asked as in the tables above, by one agent object that serves for all runs, and up to 1,000 agents where each is asked once. Memory
  is that of an agent object each, and of 100 at most, since to count it takes minutes; for an agent it hardly depends on their number. *At rest* is
  before the first question; *after that run* adds what is remembered of the run, for this package the World's log of at most 10,000 events too. It
  is what tracemalloc counts, in a pass of its own, for each agent beyond the first.
* LangChain's agents are another package; here its chat model and its tool are called in the loop that its documentation shows. ecs-agent 0.1.0 is
  run with streaming on, one handler for its events of text and its log at WARNING, for as many ticks as there are turns.
* Figures are the least of three rounds, taken in turn, since what else the machine does can only add to them; the model's own cost likewise. Who
  needs more than 20 s in all is not asked for another round; who needs more than 60 s for one is stopped, and what a delta cost is told of those
  that were delivered by then.
* The longest pause by the garbage collector is that of its own callbacks, in CPU time, in its own process, the least of three rounds. That by hand
  is what a program pays that calls `gc.collect()` in a run's place; no budget holds it.
* A tick is one `world.process()` with one entity. For entity systems it is touched before, so that all ten are due; the touch is not counted.
"""

HOW_SAVING = """## How saved worlds were measured

* *A journal* is a World of agents in a file, as `open_world` makes it by default: every delta is a fact of its own in sqlite, and the run
  ends when all is committed. The time of the thread that writes is in its figures. What *a journal adds* is its figure less that of *ecs_agent*.
* *Save* and *load* are `WorldSerializer.save` and `.load` of a World whose agents hold a conversation each: to a file, and back to a World.
  *msgspec* is the floor: the same texts in as many objects, typed, encoded into one JSON file and decoded from it. Figures are the least of seven.
* A *committed step* appends a message to a conversation and waits for `world.commit()`, in a file of sqlite with `synchronous="NORMAL"`. It is CPU
  time, that of the thread that writes included, of the first steps and of the last; the least of five parts of them.
* A *fork* is `world.fork(entity)` of an agent in the present, the least of 200; *with a journal*, in a World that keeps its history in memory.
"""

AGAIN = """## Measure again

```text
make bench                    this package and the floors
make bench ARGS=one_stream    one group of rows
make peers                    the others, each in an environment of its own
make bench-peers              all of them in one session, an hour; renews this page
```

Benchmarks assert nothing. What is promised and can be asserted is in the tests.
"""


def figure(value: float) -> str:
    """A number with three digits that count."""
    if value >= 999.5:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value < 1 else f"{value:.3g}"


def page(found: Results) -> str:
    """The page as Markdown."""
    head = (
        f"# Benchmarks\n\nMeasured on {found.date} by `{found.command}` on {found.machine['cores']} cores of {found.machine['CPU']}, "
        f"{found.machine['system']}, {found.machine['Python']}; one-minute load before it began: {found.machine[LOAD]}. "
        f"All figures, and the versions of all packages, are in [the results](../benchmarks/results/{found.date}.json).\n\n"
        f"{_earlier(found)}"
        "Machines differ; the ratios are what counts, and those of a row are taken side by side.\n\n"
        "![CPU time of a delta, by who reads it, on a logarithmic scale](benchmarks.svg)\n"
    )
    compared = [row for group in COMPARED for row in found.rows.get(group, ())]
    everything = [row for group in KNOWN for row in found.rows.get(group, ())]
    agents, saving = found.rows.get("agents", []), found.rows.get("saving", [])
    peers = [peer for peer in OTHERS if any(row.who == peer.name for row in everything)]
    codecs, imports = found.rows.get("codecs", []), found.rows.get("importing", [])
    sections = [head, _budgets(everything), _floors(compared), *([_beside(compared, imports, peers)] if peers else [])]
    sections += [*([_codecs(codecs)] if codecs else []), *([_agents(agents)] if agents else []), *([_saving(saving)] if saving else []), _own(found)]
    hows = [HOW, *([HOW_AGENTS] if agents else []), *([HOW_SAVING] if saving or found.rows.get("journal") else [])]
    return "\n".join([*sections, *hows, AGAIN, _versions(found)])


def _earlier(found: Results) -> str:
    """Which groups are of another day."""
    dates = {group: date for group, date in found.dates.items() if group in KNOWN}
    told = [f"{', '.join([f'`{group}`' for group, date in dates.items() if date == day])} on {day}" for day in sorted({*dates.values()})]
    return f"Not measured again since: {'; '.join(told)}.\n\n" if told else ""


def _budgets(rows: Sequence[Row]) -> str:
    verdicts = [verdict for budget in BUDGETS if (verdict := budget.judge(rows)) is not None]
    missed = [verdict for verdict in verdicts if not verdict.is_kept]
    told = "All are kept." if not missed else f"{len(missed)} of {len(verdicts)} are missed; these are the bold ones."
    if not any(verdict.budget in AGENTS for verdict in verdicts):
        told += " Those of agents are not among them: agents were not measured in this session."
    lines = [f"| {verdict.row.name}{_watched(verdict)} | {_measured(verdict)} | {_limit(verdict)} |" for verdict in verdicts]
    return _section(f"## Budgets\n\nWhat this project allows itself to cost. {told}", ("what", "measured", "budget"), lines)


def _watched(verdict: Verdict) -> str:
    """Who it is about, where that is not just this package and the row does not begin with it."""
    who = verdict.budget.who.name.removeprefix(PROVIDER.name)
    return "" if who and verdict.row.name.startswith(who.removeprefix(", ")) else who


def _measured(verdict: Verdict) -> str:
    value = "-" if verdict.value is None else f"{_amount(verdict, verdict.value)} {_unit(verdict)}"
    told = f"{value} ({verdict.row.note})" if verdict.row.note else value
    return told if verdict.is_kept else f"**{told}**"


def _limit(verdict: Verdict) -> str:
    return f"≤ {_amount(verdict, verdict.budget.limit)} {_unit(verdict)}"


def _amount(verdict: Verdict, value: float) -> str:
    return f"{value:.2f}" if verdict.budget.over else figure(value)


def _unit(verdict: Verdict) -> str:
    return f"x {verdict.budget.over.name}" if verdict.budget.over else verdict.row.unit


def _floors(rows: Sequence[Row]) -> str:
    columns = (FLOOR, AIOHTTP, PROVIDER, AGENT, WATCHED)
    lines: list[str] = []
    for name, unit in _named(rows):
        cells = {who: _cell(rows, name, who) for who in columns}
        ratios = [_ratio(rows, name, over) for over in (FLOOR, AIOHTTP)]
        lines.append(f"| {name}, {unit} | {' | '.join([cells[FLOOR], cells[AIOHTTP], cells[PROVIDER], *ratios, cells[AGENT], cells[WATCHED]])} |")
    titles = ("what", FLOOR.name, AIOHTTP.name, PROVIDER.name, "ratio to raw", "ratio to aiohttp", "agent", "agent, watched")
    return _section("## Streams, beside the least they can cost", titles, lines) + _notes(rows, columns)


def _beside(rows: Sequence[Row], imports: Sequence[Row], peers: Sequence[Contestant]) -> str:
    shown = (FLOOR, PROVIDER, *peers)
    everything = [*rows, *imports]
    lines = [f"| {name}, {unit} | {' | '.join(_cell(everything, name, who) for who in shown)} |" for name, unit in _named(everything)]
    return _section("## Beside others", ("what", *(who.name for who in shown)), lines) + _notes(rows, peers)


def _agents(rows: Sequence[Row]) -> str:
    """The agents' rows: whoever has none of them has no column."""
    shown = [who for who in (PLAIN, *OUR_CREWS, *OTHER_CREWS) if any(row.who == who.name for row in rows)]
    lines = [f"| {name}, {unit} | {' | '.join(_cell(rows, name, who) for who in shown)} |" for name, unit in _named(rows)]
    return _section(f"## Agents, without a socket\n\n{SIDE_BY_SIDE}", ("what", *(who.name for who in shown)), lines) + _notes(rows, shown)


def _saving(rows: Sequence[Row]) -> str:
    lines = [
        f"| {name}, {unit} | {_cell(rows, name, PROVIDER)} | {_cell(rows, name, MSGSPEC)} | {_ratio(rows, name, MSGSPEC)} |"
        for name, unit in _named(rows)
    ]
    return _section("## Saved worlds\n\nIn a file, for this package alone.", ("what", PROVIDER.name, MSGSPEC.name, "ratio"), lines)


def _codecs(rows: Sequence[Row]) -> str:
    lines = [f"| {row.name} | {figure(row.value or 0.0)} {row.unit} | {row.ratio or 0.0:.2f} times |" for row in rows]
    told = "What a text delta costs the codec of each wire protocol: the same words in its own events, decoded from memory. The budget is twice chat."
    return _section(f"## Codecs\n\n{told}", ("codec", "measured", "of the chat codec"), lines)


def _own(found: Results) -> str:
    rows = [row for group in OWN for row in found.rows.get(group, ())] + [row for row in found.rows.get("importing", ()) if row.who == PROVIDER.name]
    lines = [f"| {row.name}{_whose(row)} | {figure(row.value) if row.value is not None else '-'} {row.unit} |" for row in rows]
    return _section("## Without a socket\n\nThe kernel and the import, for this package alone.", ("what", "measured"), lines)


def _whose(row: Row) -> str:
    """Which way of using this package it is about, where the row does not say so."""
    return "" if row.who == PROVIDER.name or row.name.startswith("a journal") else row.who.removeprefix(PROVIDER.name)


def _versions(found: Results) -> str:
    lines = [
        f"| {contestant.name} | {contestant.package} {found.versions[contestant.name].get(contestant.package, '')} |"
        for contestant in (PROVIDER, *OTHERS)
        if contestant.package and contestant.name in found.versions
    ]
    return _section("## Versions", ("who", "version"), lines)


def _named(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """What was measured, and in which unit, each once and in order."""
    return list(dict.fromkeys((row.name, row.unit) for row in rows))


def _find(rows: Iterable[Row], name: str, who: Contestant) -> Row | None:
    return next((row for row in rows if row.name == name and row.who == who.name), None)


def _cell(rows: Sequence[Row], name: str, who: Contestant) -> str:
    row = _find(rows, name, who)
    if row is None:
        return ""
    return f"{figure(row.value) if row.value is not None else '-'}{' *' if row.note else ''}"


def _ratio(rows: Sequence[Row], name: str, over: Contestant) -> str:
    own, other = _find(rows, name, PROVIDER), _find(rows, name, over)
    return f"{own.value / other.value:.2f}" if own and other and own.value is not None and other.value else ""


def _notes(rows: Sequence[Row], columns: Sequence[Contestant]) -> str:
    """What the stars stand for, told once for each load."""
    notes = {(row.name.partition(":")[0], row.who): row.note for row in rows if row.note and row.who in {who.name for who in columns}}
    return "".join(f"\n* {load}: {who}: {note}" for (load, who), note in notes.items()) + ("\n" if notes else "")


def _section(head: str, titles: Sequence[str], lines: Sequence[str]) -> str:
    return "\n".join([head, "", f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}", *lines, ""])


def main() -> int:
    """Write the page and have the picture drawn."""
    path = Path(sys.argv[1]) if sys.argv[1:] else results.newest()
    PAGE.write_text(page(results.load(path)), "utf-8")
    python = PEERS / "plot" / "bin" / "python"
    if not python.exists():
        print("the page is written; to draw its picture as well: make peers", file=sys.stderr)
        return 1
    return subprocess.run([str(python), "-m", "benchmarks.plot", str(path.resolve()), str(PICTURE)], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
