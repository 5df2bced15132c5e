"""`ecs-agent local`: the embedded model, its weights and what runs them."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from ecs_agent.cli.failures import ExitCode, complain, sentence
from ecs_agent.cli.sanitize import one_line
from ecs_agent.errors import ConfigurationError
from ecs_agent.providers.local import weights as local_weights

_RUNTIME_MISSING = "the program that runs it is missing: pip install 'ecs-agent[local]'"


def install() -> int:
    """Fetch and check the weights; their path goes to standard output, progress to standard error."""
    try:
        path = local_weights.install(lambda line: print(one_line(line), file=sys.stderr, flush=True))
    except ConfigurationError as error:
        complain(sentence(error))
        return ExitCode.FAILED  # the command line was right; the world was not
    print(path)
    if not _has_runtime():
        print(f"note: {_RUNTIME_MISSING}", file=sys.stderr)
    return ExitCode.OK


def status() -> int:
    """Say what is there and what is missing; the exit code is 0 when the embedded model can be used, else 1."""
    path = local_weights.find()
    print(f"weights: {path}" if path else "weights: not installed (ecs-agent local install)")
    print("runtime: installed" if _has_runtime() else "runtime: not installed (pip install 'ecs-agent[local]')")
    print("ready: " + ("yes, ecs-agent chat --model local" if path and _has_runtime() else "no"))
    return ExitCode.OK if path and _has_runtime() else ExitCode.FAILED


def _has_runtime() -> bool:
    return find_spec("xllamacpp") is not None
