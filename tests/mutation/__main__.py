"""Breaks the decoder, the codec and the fold in every small way, one at a time, and counts how many of the breaks the tests notice.

    python -m tests.mutation                          # all; the better part of an hour
    python -m tests.mutation --slice 40 --seed 1      # so many, picked by chance
    python -m tests.mutation wire streaming.fold      # those of some rooms or modules
    python -m tests.mutation --again                  # those that survived the last time, after tests were added

A survivor is either a test that is missing, or stands in `survivors/<room>.toml` with a reason. One that does not fails the command, and so do fewer
than 90 % killed when all were tried. `[tool.mutmut]` in pyproject.toml says what is broken and which tests run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOM = ROOT / ".cache" / "mutation"
MUTANTS = Path(__file__).with_name("mutants.py")
SURVIVORS = Path(__file__).with_name("survivors")
COPIED = [
    "pyproject.toml",
    "src",
    "tests/conftest.py",
    "tests/corpus",
    "tests/streaming",
    "tests/providers/families.py",
    "tests/providers/wire.py",
    "tests/providers/messages_wire.py",
    "tests/providers/test_anthropic_m*.py",
    "tests/providers/test_call_*.py",
    "tests/providers/test_gemini_content*.py",
    "tests/providers/test_openai_chat*.py",
    "tests/providers/test_openai_responses*.py",
    "tests/providers/test_text_template.py",
    "tests/providers/test_wire_cases.py",
]
NOT_COPIED = ["test_openai_responses_provider.py"]  # it asks a server
KILLED = {"killed", "timeout", "segfault"}  # a mutant that never ends, or ends the interpreter, is noticed too
GOAL = 0.90
SPINNER = r"\r?[⠀-⣿] [^\n\r⠀-⣿]*"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One break. `module` has its room before it (`wire.call_log`); `key` names it by function and change, so that it stays the same while the rest of
    the file is edited.
    """

    name: str
    module: str
    status: str
    key: str

    @property
    def room(self) -> str:
        return self.module.partition(".")[0]


def function_of(name: str) -> str:
    """`fold.Fold.add` of mutmut's `ecs_agent.streaming.fold.xǁFoldǁadd__mutmut_7`."""
    module, _, mangled = name.partition("__mutmut_")[0].rpartition(".")
    return f"{module.rpartition('.')[2]}.{mangled.removeprefix('x_').removeprefix('xǁ').replace('ǁ', '.')}"


def module_of(source: str) -> str:
    """`streaming.fold` of `src/ecs_agent/streaming/fold.py`."""
    return ".".join(Path(source).with_suffix("").parts[-2:])


def change_of(diff: list[str]) -> str:
    """The changed words of a diff within their line: `return ⟦1 → 2⟧ + x`."""
    old, new = (re.findall(r"\w+|\s+|[-+*/<>=!&|]+|.", " ".join([line[1:].strip() for line in diff if line[0] == sign])) for sign in "-+")
    start = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    end = next((at for at, (a, b) in enumerate(zip(old[start:][::-1], new[start:][::-1], strict=False)) if a != b), min(len(old), len(new)) - start)
    last = len(old) - end
    return f"{''.join(old[:start])}⟦{''.join(old[start:last])} → {''.join(new[start : len(new) - end])}⟧{''.join(old[last:])}"


def mutants() -> list[Mutant]:
    text = subprocess.run([sys.executable, str(MUTANTS), "list"], cwd=ROOM, check=True, capture_output=True, text=True).stdout
    found = json.loads(text.splitlines()[-1])
    return [
        Mutant(one["name"], module_of(one["source"]), one["status"], f"{function_of(one['name'])}: {change_of(one['diff'])}" if one["diff"] else "")
        for one in found
    ]


def copy() -> None:
    """The files as they are now, so that work on them can go on meanwhile."""
    shutil.rmtree(ROOM, ignore_errors=True)
    for pattern in COPIED:
        for path in [path for path in ROOT.glob(pattern) if path.name not in NOT_COPIED]:
            target = ROOM / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(path, target)


def attempt(names: list[str]) -> None:
    """Let mutmut try these mutants, all when none are named.

    Its notes of which test calls which function crash the interpreter now and then (CPython 3.11, in `ContextVar.set`); it goes on where it was.
    """
    code, log = run_mutmut(names)
    for _ in range(2):
        if code and "exited with code -11" in log:
            code, log = run_mutmut(names)
    if code:
        sys.exit(f"mutmut failed with code {code}: {re.sub(SPINNER, '', log)[-3000:]}")


def run_mutmut(names: list[str]) -> tuple[int, str]:
    """Its exit code and what it printed; tells every minute how far it is."""
    path = ROOM / "mutmut.log"
    told = time.monotonic()
    with path.open("w", encoding="utf-8") as out:
        command = [sys.executable, str(MUTANTS), "run", "--max-children", "2", *names]
        running = subprocess.Popen(command, cwd=ROOM, stdout=out, stderr=subprocess.STDOUT)
        try:
            while running.poll() is None:
                time.sleep(1)
                if time.monotonic() > told + 60:
                    told = time.monotonic()
                    progress = re.findall(r"\d+/\d+", path.read_text("utf-8"))
                    print("  at", progress[-1] if progress else "the beginning", flush=True)
        finally:
            running.terminate()
    return running.wait(), path.read_text("utf-8")


def reasons() -> dict[tuple[str, str], str]:
    """Why the listed survivors may live, by their rooms and keys."""
    return {
        (path.stem, key): entry["reason"]
        for path in sorted(SURVIVORS.glob("*.toml"))
        for entry in tomllib.loads(path.read_text("utf-8"))["survivor"]
        for key in entry["mutants"]
    }


def sample(names: list[str], size: int, seed: int) -> list[str]:
    """So many of them by chance, and the same ones while the code of their functions stays as it is: an edit elsewhere does not draw anew."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())[:size]


def report(tried: list[Mutant], listed: Collection[tuple[str, str]], *, is_all: bool) -> int:
    """Print what became of them; 1 when it is not good enough."""
    print(f"\n| module | mutants | killed | of these by time | survived | not listed |\n|{'---|' * 6}")
    for module in [*sorted({mutant.module for mutant in tried}), "all"]:
        group = [mutant for mutant in tried if module in (mutant.module, "all")]
        count = Counter(mutant.status for mutant in group)
        killed = sum(count[status] for status in KILLED)
        unlisted = sum(mutant.status not in KILLED and (mutant.room, mutant.key) not in listed for mutant in group)
        print(f"| {module} | {len(group)} | {killed / len(group):.1%} | {count['timeout']} | {len(group) - killed} | {unlisted} |")
    survivors = [mutant for mutant in tried if mutant.status not in KILLED]
    new = [mutant for mutant in survivors if (mutant.room, mutant.key) not in listed]
    for room in sorted({mutant.room for mutant in new}):
        print(f"\nNot listed in {room}.toml:")
        for mutant in new:
            if mutant.room == room:
                print(f"  {mutant.key!r}" + ("" if mutant.status == "survived" else f"  ({mutant.status})"))
    if is_all:
        for room, key in sorted(set(listed) - {(mutant.room, mutant.key) for mutant in survivors}):
            print(f"\nListed in {room}.toml, but it does not survive: {key!r}")
    return int(bool(new) or (is_all and len(survivors) > (1 - GOAL) * len(tried)))


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutation", description="Break the code in small ways and count what the tests notice.")
    parser.add_argument("where", nargs="*", help="only mutants of these rooms or modules, as in: wire streaming.fold")
    parser.add_argument("--slice", type=int, metavar="N", help="only so many, picked by chance")
    parser.add_argument("--seed", type=int, default=1, help="the chance")
    parser.add_argument(
        "--again", action="store_true", help="only the survivors of the last time, by number: of functions that have not changed since"
    )
    asked = parser.parse_args()
    survivors = {mutant.name for mutant in mutants() if mutant.status not in KILLED | {"not checked"}} if asked.again else set[str]()
    copy()
    subprocess.run([sys.executable, str(MUTANTS), "make"], cwd=ROOM, check=True, stdout=subprocess.DEVNULL)
    chosen = [
        mutant.name
        for mutant in mutants()
        if (not asked.where or {mutant.room, mutant.module} & set(asked.where)) and (not asked.again or mutant.name in survivors)
    ]
    if asked.slice is not None:
        chosen = sample(chosen, asked.slice, asked.seed)
    is_all = not (asked.where or asked.again or asked.slice is not None)
    print(f"{len(chosen)} mutants", flush=True)
    if chosen:
        attempt([] if is_all else chosen)
    tried = [mutant for mutant in mutants() if mutant.name in set(chosen)]
    return report(tried, reasons(), is_all=is_all) if tried else 0


if __name__ == "__main__":
    sys.exit(main())
