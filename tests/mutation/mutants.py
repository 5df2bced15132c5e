"""What the campaign needs of mutmut beyond its commands. Run by itself, in the folder of the campaign:

python mutants.py make          # write the mutants, do not try them
python mutants.py list          # print them all as JSON: their names, what became of them, their diffs
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any


def make() -> None:
    """The first steps of `mutmut run`; a later run finds the mutants as they are."""
    mutmut = importlib.import_module("mutmut.__main__")
    mutmut.set_mutant_under_test("mutant_generation")
    Path("mutants").mkdir(exist_ok=True)
    mutmut.copy_src_dir()
    mutmut.copy_also_copy_files()
    mutmut.setup_source_paths()
    mutmut.create_mutants(2)


def listed() -> list[dict[str, Any]]:
    """Every mutant, with the lines that it changes."""
    status = importlib.import_module("mutmut.stats").status_by_exit_code
    difference = importlib.import_module("mutmut.mutation.diff_apply").get_diff_for_mutant
    found: list[dict[str, Any]] = []
    for meta in sorted(Path("mutants").rglob("*.meta")):
        source = meta.relative_to("mutants").as_posix().removesuffix(".meta")
        for name, code in json.loads(meta.read_text("utf-8"))["exit_code_by_key"].items():
            what = status[code]
            diff = difference(name, path=source).split("\n")[2:] if what not in ("killed", "not checked") else []
            found.append({"name": name, "source": source, "status": what, "diff": [line for line in diff if line[:1] in ("-", "+")]})
    return found


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make()
    else:
        print(json.dumps(listed()))
