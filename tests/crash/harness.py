"""The harness: it kills a crew at drawn moments, has it go on, and holds what is left against what was acknowledged and what an unharmed crew did."""

from __future__ import annotations

import hashlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, cast

import msgspec
from tests.crash.crew import Model, crew_of
from tests.crash.laws import Transcripts, completed_problems, effect_problems, lost_in, transcript_problems
from tests.crash.life import Kind, Life, Moment, form, main, opened, said_in

from ecs_agent import World
from ecs_agent.components import ConversationComponent
from ecs_agent.core import Envelope
from ecs_agent.store import SqliteEngine
from ecs_agent.store.history import History
from ecs_agent.systems.invariants import check_world

PATIENCE: Final = 60.0
"""Seconds after which a life hangs."""

_KINDS: Final[dict[Kind, int]] = {
    "opening": 2, "seconds": 6, "line": 2, "before write": 1, "after write": 2, "before effect": 1, "after effect": 2,
}  # fmt: skip


@dataclass(slots=True)
class Verdict:
    """What became of the crew of a seed. `unknown` counts calls of which nobody knows what they did."""

    seed: int
    kills: dict[str, int] = field(default_factory=dict[str, int])
    lives: int = 0
    facts: int = 0
    unknown: int = 0
    problems: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Told:
    """What the lives of a crew have told so far: which facts are safe, and which runs were completed."""

    safe: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    completed: list[tuple[int, str, str]] = field(default_factory=list[tuple[int, str, str]])
    epochs: list[int] = field(default_factory=list[int])
    problems: list[str] = field(default_factory=list[str])
    finished: bool = False

    def hear(self, line: dict[str, Any]) -> None:
        """Take the next line of the life that goes on."""
        if "safe" in line:
            if self.safe and self.safe[-1]["start"] == line["start"]:
                self.safe.pop()  # what is safe of a life grows
            self.safe.append(line)
        elif "completed" in line:
            self.completed.append(tuple(line["completed"]))
        elif "problem" in line:
            self.problems.append(line["problem"])
        elif "opened" in line:
            self.epochs.append(line["epoch"])
        else:
            self.finished = True


def try_seed(seed: int, folder: Path, *, kills: int | None = None) -> Verdict:
    """Have the crew of a seed live unharmed, and then be killed again and again.

    Args:
        seed: of the crew and of the moments.
        folder: an empty one.
        kills: how often it is killed; drawn by default.
    """
    verdict = Verdict(seed)
    begun = time.monotonic()
    unharmed = Life(seed, 0, str(folder / "unharmed.db"), str(folder / "unharmed.effects"))
    plain = _follow(unharmed, Told())
    seconds = time.monotonic() - begun
    expected, problems = _examined(unharmed.store, seed, plain, folder)
    verdict.problems += [f"unharmed: {problem}" for problem in [*problems, *transcript_problems(seed, expected, expected)]]
    store, effects, told = str(folder / "crew.db"), folder / "crew.effects", Told()
    transcripts: Transcripts = {}
    for moment in [*moments(seed, seconds, kills), None]:
        verdict.lives += 1
        _follow(Life(seed, verdict.lives, store, str(effects), moment), told)
        if not told.finished:
            kind = moment.kind if moment is not None else "nothing"
            verdict.kills[kind] = verdict.kills.get(kind, 0) + 1
        transcripts, problems = _examined(store, seed, told, folder)
        done = effects.read_text("utf-8").splitlines() if effects.exists() else []
        problems += effect_problems(done, transcripts) if told.finished else _twice(done)
        verdict.problems += [f"life {verdict.lives}, {moment}: {problem}" for problem in problems]
        if told.finished or verdict.problems:
            break
    if told.finished:
        verdict.problems += transcript_problems(seed, transcripts, expected)
        verdict.unknown = len(lost_in(transcripts))
        verdict.facts = told.safe[-1]["safe"] if told.safe else 0
    elif not verdict.problems:
        verdict.problems.append("the last life, which nobody killed, did not finish")
    return verdict


def _twice(done: list[str]) -> list[str]:
    return [f"{key} was done {count} times" for key, count in Counter(done).items() if count > 1]


def moments(seed: int, seconds: float, kills: int | None) -> list[Moment]:
    """When the lives of a crew are ended, if an unharmed one takes so many seconds."""
    draw = Random(f"moments {seed}")
    count = draw.choice((1, 1, 2, 2, 3, 4, 6)) if kills is None else kills
    return [_moment(draw, seconds) for _ in range(count)]


def _moment(draw: Random, seconds: float) -> Moment:
    kind: Kind = draw.choices(list(_KINDS), list(_KINDS.values()))[0]
    if kind == "opening":
        return Moment(kind, draw.uniform(0.0, 0.06))
    if kind == "seconds":
        return Moment(kind, draw.uniform(0.0, 0.8 * seconds))
    return Moment(kind, draw.randint(1, 3 if kind.endswith("effect") else 20))


# A life


def _follow(life: Life, told: Told) -> Told:
    """Have a life lived to its moment or its end, and hear what it tells."""
    process, out = _begin(life)
    moment = life.moment
    begun = time.monotonic()
    due = begun + moment.at if moment is not None and moment.kind == "opening" else begun + PATIENCE
    count = 0
    lines = _lines(out)
    is_dead = False
    while True:
        ready = select.select([out], [], [], max(0.0, due - time.monotonic()))[0] if not is_dead else [out]
        if not ready:
            os.kill(process, signal.SIGKILL)
            is_dead = True
            if due >= begun + PATIENCE:
                told.problems.append(f"it hangs: nothing came of it in {PATIENCE} s")
            continue
        news = next(lines, None)
        if news is None:
            break
        for line in news:
            told.hear(line)
            count += 1
            if moment is not None and "opened" in line and moment.kind == "seconds":
                due = time.monotonic() + moment.at
            if moment is not None and not is_dead and moment.kind == "line" and count == moment.at:
                os.kill(process, signal.SIGKILL)
                is_dead = True
    os.close(out)
    os.waitpid(process, 0)
    return told


def _lines(out: int) -> Iterator[list[dict[str, Any]]]:
    rest = b""
    while data := os.read(out, 1 << 16):
        *whole, rest = (rest + data).split(b"\n")
        yield [msgspec.json.decode(line) for line in whole]


def _begin(life: Life) -> tuple[int, int]:
    """A process that lives a life, and where it can be heard. Every eighth crew lives in processes that share nothing, not even their hashes."""
    out, told = os.pipe()
    if life.seed % 8 == 0:
        command = [sys.executable, "-m", "tests.crash.life", msgspec.json.encode(life).decode()]
        process = subprocess.Popen(command, stdout=told)
        os.close(told)
        process.returncode = 0  # it is waited for by its number
        return process.pid, out
    process_id = os.fork()
    if process_id:
        os.close(told)
        return process_id, out
    code = 1
    try:
        os.close(out)
        main(life, told)
        code = 0
    except BaseException:  # noqa: BLE001 - the child of a fork must not return
        traceback.print_exc()
    finally:
        os._exit(code)


# What is left


def _examined(store: str, seed: int, told: Told, folder: Path) -> tuple[Transcripts, list[str]]:
    """The transcripts in a copy of a store, and what is wrong with it; the store itself is left as the crash has left it."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for ending in ("", "-wal"):
        if os.path.exists(store + ending):
            shutil.copyfile(store + ending, copy / f"store.db{ending}")
    problems, told.problems = told.problems, []
    if told.epochs != sorted(set(told.epochs)):
        problems.append(f"two openings had the same epoch: {told.epochs}")
    models = [Model(seed, member, Random(0)) for member in crew_of(seed)]
    world = opened(SqliteEngine(copy / "store.db"), seed, models, _nothing_is_done)
    log = cast("History", world.log)
    try:
        problems += check_world(world)
        transcripts = {int(entity): held.messages for entity, (held,) in world.query(ConversationComponent)}
        problems += completed_problems(told.completed, transcripts)
        problems += _safe_problems(world, told)
    finally:
        log.close()
    return transcripts, problems


def _nothing_is_done(_: str) -> None:
    raise AssertionError("nothing runs in a world that is only looked at")


def _safe_problems(world: World, told: Told) -> list[str]:
    """What was acknowledged and is not there as it was."""
    if not told.safe:
        return []
    facts = list(world.log.read())
    problems: list[str] = []
    for line in told.safe:
        if len(facts) < line["safe"]:
            problems.append(f"facts up to {line['safe']} were safe, and there are {len(facts)}")
        elif _digest(facts[line["start"] : line["safe"]]) != line["digest"]:
            problems.append(f"the facts from {line['start']} to {line['safe']} are not those that were safe")
    newest = told.safe[-1]
    if not problems and said_in(world.at(newest["safe"] - 1)) != newest["said"]:
        problems.append(f"the conversations behind position {newest['safe']} are not those that were safe")
    return problems


def _digest(facts: list[Envelope]) -> str:
    digest = hashlib.sha256()
    for fact in facts:
        digest.update(form(fact).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
