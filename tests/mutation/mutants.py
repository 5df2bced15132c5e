"""What the campaign needs of mutmut beyond its commands. Run by itself, in the folder of the campaign:

python mutants.py make          # write the mutants, do not try them
python mutants.py run …         # as `mutmut run …`
python mutants.py list          # print them all as JSON: their names, what became of them, their diffs
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

NOT_RUN = 255
"""The exit code of a worker whose tests did not start; mutmut takes it for a timeout, so for a kill."""


def make() -> None:
    """The first steps of `mutmut run`; a later run finds the mutants as they are."""
    mutmut = importlib.import_module("mutmut.__main__")
    mutmut.set_mutant_under_test("mutant_generation")
    Path("mutants").mkdir(exist_ok=True)
    mutmut.copy_src_dir()
    mutmut.copy_also_copy_files()
    mutmut.setup_source_paths()
    mutmut.create_mutants(2)


class NoCallStack:
    """Who called a function, as nobody here wants to know it: mutmut keeps it in a context variable, whose many changes crash CPython 3.11."""

    @staticmethod
    def get() -> tuple[None, int]:
        return None, 0

    @staticmethod
    def set(value: object) -> None:
        pass

    @staticmethod
    def reset(token: object) -> None:
        pass


def run() -> None:
    """`mutmut run` with the arguments that stand in the command line; each mutant meets the quickest tests first."""
    vars(importlib.import_module("mutmut.mutation.trampoline"))["MutmutCallStack"] = NoCallStack
    server = importlib.import_module("mutmut.workers.isolation").ForkServerRunner
    state = importlib.import_module("mutmut.state").state
    submit = server.submit

    def quickest_first(self: object, mutant: str, tests: list[str], *limits: float) -> None:
        submit(self, mutant, sorted(tests, key=state().duration_by_test.__getitem__), *limits)

    server.submit = quickest_first
    importlib.import_module("mutmut.__main__").cli()


def listed() -> list[dict[str, Any]]:
    """Every mutant, with the lines that it changes."""
    status = importlib.import_module("mutmut.stats").status_by_exit_code
    difference = importlib.import_module("mutmut.mutation.diff_apply").get_diff_for_mutant
    found: list[dict[str, Any]] = []
    for meta in sorted(Path("mutants").rglob("*.meta")):
        source = meta.relative_to("mutants").as_posix().removesuffix(".meta")
        for name, code in json.loads(meta.read_text("utf-8"))["exit_code_by_key"].items():
            what = "not run" if code == NOT_RUN else status[code]
            diff = difference(name, path=source).split("\n")[2:] if what not in ("killed", "not checked") else []
            found.append({"name": name, "source": source, "status": what, "diff": [line for line in diff if line[:1] in ("-", "+")]})
    return found


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make()
    elif sys.argv[1] == "run":
        run()
    else:
        print(json.dumps(listed()))
