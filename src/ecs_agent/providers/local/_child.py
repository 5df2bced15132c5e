"""The process that runs a local model: started by `local_server`, by path, with nothing of this package imported.

It reads one JSON line of settings from standard input (the API key is in it, so that neither the command line nor the environment shows
it), loads the model, and writes one JSON line to standard output: {"url": …}, or {"error": "import" | "model", "message": …}.
Everything the model library prints goes to standard error. The process ends when its standard input closes, so it cannot outlive its
owner, however that one ended. It ends by `os._exit`: the model library aborts an interpreter that is shut down while a server exists.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
from typing import Any


def main() -> None:
    """Serve until standard input closes."""
    answers = os.dup(1)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the owner, which may want to keep its model
    line = sys.stdin.buffer.readline()
    if not line:
        return
    threading.Thread(target=_exit_at_end_of_input, daemon=True).start()
    try:
        server = _serve(json.loads(line))
    except ImportError as error:
        _answer(answers, {"error": "import", "message": str(error)})
        os._exit(1)
    except RuntimeError as error:
        _answer(answers, {"error": "model", "message": str(error)})
        os._exit(1)
    _answer(answers, {"url": server.listening_address})
    threading.Event().wait()


def _exit_at_end_of_input() -> None:
    # The owner writes nothing after the settings, so this returns only when its end of the pipe is gone.
    sys.stdin.buffer.read()
    os._exit(0)


def _answer(answers: int, message: dict[str, str]) -> None:
    os.write(answers, json.dumps(message).encode() + b"\n")
    os.close(answers)


def _serve(settings: dict[str, Any]) -> Any:
    """Load the model and listen on a free port of the loopback interface. The model library holds the interpreter lock meanwhile."""
    xllamacpp = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {settings["name"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings["api_key"]]
    params.n_parallel = settings["slots"]
    params.n_ctx = settings["context"] * settings["slots"]  # divided among the slots again, so that they cannot starve each other
    params.kv_unified = False
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.cache_ram_mib = 64  # prompts of idle slots; the library's own limit is 8 GiB
    params.cors_origins = ""  # no web page has business here
    params.ui = False
    params.endpoint_slots = False
    params.offline = True
    params.verbosity = 1  # errors only
    if settings["template"] is not None:
        params.use_jinja = True
        params.chat_template = settings["template"]
    if settings["embeds"]:
        params.embedding = True
        params.n_batch = params.n_ubatch = settings["context"]  # a text is computed at once or refused
        if settings["pooling"] is not None:
            params.pooling_type = getattr(xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{settings['pooling'].upper()}")
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
