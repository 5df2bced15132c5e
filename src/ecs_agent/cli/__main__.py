"""The entry point of `ecs-agent`, and of `python -m ecs_agent.cli`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ecs_agent.cli.failures import ExitCode, complain, guarded


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code; see `ecs_agent.cli.failures`.

    Args:
        arguments: the words after the command's name; those of this process by default.
    """
    words = sys.argv[1:] if arguments is None else arguments
    return guarded(lambda: _act(words))


def _act(words: Sequence[str]) -> int:
    try:
        from ecs_agent.cli.app import parse  # noqa: PLC0415 - it needs the extra, whose absence is told in one sentence
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"rich", "typer"}:
            raise
        complain("the command line needs two more packages: pip install 'ecs-agent[cli]'")
        return ExitCode.USAGE
    return parse(words)()


if __name__ == "__main__":
    sys.exit(main())
