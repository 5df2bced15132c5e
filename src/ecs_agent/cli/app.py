"""The command line: what it offers, and how its words become settings.

Reading the command line does nothing: it gives back what is to be done, and `ecs_agent.cli.__main__` does it, so that no exception passes
through the parser, which has ideas of its own about them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from ecs_agent import __version__
from ecs_agent.cli import chat as chatting
from ecs_agent.cli import diff as comparing
from ecs_agent.cli import fork as branching
from ecs_agent.cli import local as embedded
from ecs_agent.cli import log as telling
from ecs_agent.cli import record as recording
from ecs_agent.cli import replay as replaying
from ecs_agent.cli import run as running
from ecs_agent.cli import top as watching
from ecs_agent.cli.options import KEY_ON_COMMAND_LINE, Settings, read_prompt
from ecs_agent.cli.stores import Limit
from ecs_agent.core.forking import OnFork
from ecs_agent.errors import ConfigurationError

Action: TypeAlias = Callable[[], int]

# Newer versions of typer carry their own click: the root of its complaints is found in the one that typer exports.
_COMPLAINT: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

_app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})
_local = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})
_app.add_typer(_local, name="local", help="The embedded model: its weights and what runs them.")


def parse(arguments: Sequence[str]) -> Action:
    """What the words of the command line ask for; to be called, it returns an exit code.

    Raises:
        ConfigurationError: they are wrong.
    """
    words = list(arguments)
    options = words[: words.index("--")] if "--" in words else words
    if any(word == "--api-key" or word.startswith("--api-key=") for word in options):
        raise ConfigurationError(KEY_ON_COMMAND_LINE)
    try:
        action: Action | int | None = typer.main.get_command(_app).main(args=words, prog_name="ecs-agent", standalone_mode=False)
    except _COMPLAINT as complaint:
        raise ConfigurationError(_sentence(complaint)) from complaint
    return action if callable(action) else lambda: 0  # help and version are shown by the parser


def _sentence(complaint: Any) -> str:
    context = getattr(complaint, "ctx", None)
    command = context.command_path if context is not None else "ecs-agent"
    return f"{complaint.format_message().rstrip('.')}. Try `{command} --help`."


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ecs-agent {__version__}")
        raise typer.Exit


Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="SERVICE/MODEL, as in groq/llama-3.3-70b-versatile or ollama/qwen3; or a model of an OpenAI-compatible server; or 'local', the "
        "embedded one; or the path of a .gguf file; or 'fake', which only repeats. Names of models may hold slashes too: with --base-url all of it "
        "is the name, with OPENAI_BASE_URL or LLM_BASE_URL unless a known service stands before the first slash. "
        "Default: LLM_MODEL, else 'local' if it is installed.",
        show_default=False,
    ),
]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="The server, as in http://127.0.0.1:11434/v1. Default: OPENAI_BASE_URL, else OpenAI.")
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file", metavar="PATH", help="A file with the key and nothing else. Default: the service's variable, OPENAI_API_KEY for a server."
    ),
]
AllowHttp = Annotated[bool, typer.Option("--allow-http", help="Send the key unencrypted to a server on another machine.")]
System = Annotated[str, typer.Option("--system", "-s", metavar="TEXT", help="The system prompt.", show_default=False)]
Tools = Annotated[
    list[str] | None,
    typer.Option(
        "--tools", "-t", metavar="MODULE", help="A module with tools: a dotted name, or the path of a .py file; its code is run. Repeatable."
    ),
]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", metavar="N", min=1, help="The longest answer, in tokens.")]
Temperature = Annotated[float | None, typer.Option("--temperature", metavar="X", min=0.0, help="How much chance there is in the answer; 0 is none.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours and no other escape sequences; as NO_COLOR=1.")]
Program = Annotated[
    str, typer.Argument(metavar="FILE.py[:FUNCTION]", help="A file with 'async def main(world)', or the function named; its code is run.")
]
Version = Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")]


@_app.callback(invoke_without_command=True)
def _root(context: typer.Context, _version: Version = False) -> None:
    """Agents whose answers stream: chat with a model, or use one in a pipe."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@_app.command("chat")
def _chat(
    model: Model = None,
    base_url: BaseUrl = None,
    api_key_file: KeyFile = None,
    allow_http: AllowHttp = False,
    system: System = "",
    tools: Tools = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    no_color: NoColor = False,
    _version: Version = False,
) -> Action:
    """Talk with a model in the terminal.

    Ctrl-C stops an answer and keeps what was said; at the empty prompt it leaves, as Ctrl-D does.
    """
    settings = _settings(model, base_url, api_key_file, allow_http, system, tools, max_tokens, temperature, no_color)
    return functools.partial(chatting.chat, settings)


@_app.command("run")
def _run(
    prompt: Annotated[str | None, typer.Argument(metavar="[PROMPT]", help="What to ask; '-' is standard input.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one event a line as JSON: text_delta, …, and last run_completed or error.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No tool calls and no statistics on standard error.")] = False,
    model: Model = None,
    base_url: BaseUrl = None,
    api_key_file: KeyFile = None,
    allow_http: AllowHttp = False,
    system: System = "",
    tools: Tools = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    no_color: NoColor = False,
    _version: Version = False,
) -> Action:
    """Have one prompt answered; made for pipes.

    For example: git diff | ecs-agent run "Explain this change".

    The prompt is the argument, or standard input, or both with an empty line between them. The answer alone goes to standard output, free
    of escape sequences; tool calls and statistics go to standard error.

    Exit codes: 0 done, 1 the answer failed (what had arrived is written), 2 wrong usage, 130 Ctrl-C, 141 the reader of a pipe left.
    """
    settings = _settings(model, base_url, api_key_file, allow_http, system, tools, max_tokens, temperature, no_color)
    return lambda: running.run(settings, read_prompt(prompt), as_json=as_json, quiet=quiet)


@_app.command("top")
def _top(
    program: Program,
    no_color: NoColor = False,
    _version: Version = False,
) -> Action:
    """Run a program and show what its agents do.

    The function gets a world of its own. Standard output is a live table of the agents; where it is no terminal, a line every few seconds.

    Ctrl-C lets the agents finish what they are at and ends the program; pressed again it ends it at once.

    Exit codes: 0 done, 1 the program failed, 2 wrong usage, 130 Ctrl-C, 141 the reader of a pipe left.
    """
    return functools.partial(watching.top, program, color=not no_color)


Store = Annotated[str, typer.Argument(metavar="RUN.db", help="A store, as 'record' and open_world make them; somebody may be writing it.")]


@_app.command("record")
def _record(
    program: Program,
    out: Annotated[str, typer.Option("--out", "-o", metavar="RUN.db", help="The store that is made.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a store that is there.")] = False,
    no_color: NoColor = False,
    _version: Version = False,
) -> Action:
    """Run a program and keep all that happens.

    The function gets a world whose every fact is written to a store: to be replayed, looked at and forked. Ctrl-C as with 'top'.

    Exit codes: 0 done, 1 the program failed or the store could not be written, 2 wrong usage, 130 Ctrl-C.
    """
    return functools.partial(recording.record, program, out, force=force, color=not no_color)


@_app.command("replay")
def _replay(
    store: Store,
    program: Annotated[
        str | None, typer.Argument(metavar="FILE.py[:FUNCTION]", help="The program, to see whether it does the same again.", show_default=False)
    ] = None,
    speed: Annotated[
        str | None, typer.Option("--speed", metavar="1|10|max", help="The pace. Default: 1 to watch, max to verify a program.", show_default=False)
    ] = None,
    until: Annotated[int | None, typer.Option("--until", metavar="POS", help="Stop behind this position.")] = None,
    until_seq: Annotated[str | None, typer.Option("--until-seq", metavar="ENTITY:SEQ", help="Stop behind this fact of an entity.")] = None,
    until_type: Annotated[str | None, typer.Option("--until-type", metavar="TYPE", help="Stop behind the first fact of this type.")] = None,
    step: Annotated[bool, typer.Option("--step", help="Wait for Enter before each thing that is shown.")] = False,
    run_tools: Annotated[
        list[str] | None,
        typer.Option("--run-tool", metavar="NAME", help="Run this tool all the same, as one that asks another agent. Repeatable."),
    ] = None,
    no_color: NoColor = False,
    _version: Version = False,
) -> Action:
    """Show a recorded session again, or verify a program against it.

    Without a program: who said what, interleaved as it was. With one: it is run again, its models and tools answered from the recording, and
    what it does is compared, fact by fact.

    Exit codes: 0 shown, or the same; 1 the program did something else, and one line says what first; 2 wrong usage, 130 Ctrl-C.
    """
    return functools.partial(
        replaying.replay,
        store,
        program,
        speed=speed,
        limit=Limit(until, until_seq, until_type),
        step=step,
        run_tools=tuple(run_tools or ()),
        color=not no_color,
    )


@_app.command("log")
def _log(
    store: Store,
    entity: Annotated[int | None, typer.Option("--entity", metavar="N", help="Of this entity alone.")] = None,
    kind: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Of this type of event or component alone.")] = None,
    first: Annotated[int | None, typer.Option("--from", metavar="POS", min=0, help="From this position on.")] = None,
    last: Annotated[int | None, typer.Option("--to", metavar="POS", min=0, help="As far as this position.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="An object a line, with all there is.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is still being written, until Ctrl-C.")] = False,
    no_color: NoColor = False,
    _version: Version = False,
) -> Action:
    """Show the facts of a store, a line each."""
    wanted = telling.Wanted(entity, kind, first, last)
    return functools.partial(telling.log, store, wanted, as_json=as_json, follow=follow, color=not no_color)


@_app.command("diff")
def _diff(
    stores: Annotated[list[str], typer.Argument(metavar="A.db[@POS] [B.db[@POS]]", help="One or two stores, as they end or behind a position.")],
    entities: Annotated[
        list[int] | None, typer.Option("--entity", metavar="N", help="Compare this entity alone; given twice, the one with the other.")
    ] = None,
    no_color: NoColor = False,
    _version: Version = False,
) -> Action:
    """Show in what stores, moments or entities differ, each with its path.

    Exit codes: 0 in nothing, 1 in something, 2 it could not be told.
    """
    return functools.partial(comparing.diff, stores, entities or [], color=not no_color)


@_app.command("fork")
def _fork(
    store: Store,
    entity: Annotated[int, typer.Option("--entity", metavar="N", help="Whom to fork.")],
    at: Annotated[int | None, typer.Option("--at", metavar="SEQ", min=1, help="Behind which of its facts. Default: its last.")] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="OTHER.db", help="Fork in a copy of the store. Default: in the store itself.", show_default=False),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", metavar="NAME", help="Another model of its provider.")] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", metavar="TEXT", help="Another system prompt.")] = None,
    temperature: Temperature = None,
    on_fork: Annotated[OnFork, typer.Option("--on-fork", help="What becomes of an answer that was arriving then.")] = "continue",
    no_color: NoColor = False,
    _version: Version = False,
) -> Action:
    """Fork an agent of a stored world, from one of its facts on.

    The new entity's id goes to standard output. Nothing is asked: providers and tools stay names, and are given to open_world when the world goes on.

    Exit codes: 0 done, 1 a store could not be read or written, 2 wrong usage.
    """
    branch = branching.Branch(model, system, temperature, on_fork)
    return functools.partial(branching.fork, store, entity, at, branch, out=out, color=not no_color)


@_local.callback(invoke_without_command=True)
def _local_root(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@_local.command("install")
def _install() -> Action:
    """Fetch the weights of the embedded model.

    98 MB, once; their checksum is compared. Their path goes to standard output.
    """
    return embedded.install


@_local.command("status")
def _status() -> Action:
    """Say whether the embedded model can be used.

    The exit code is 0 if it can, else 1.
    """
    return embedded.status


def _settings(
    model: str | None,
    base_url: str | None,
    api_key_file: Path | None,
    allow_http: bool,
    system: str,
    tools: list[str] | None,
    max_tokens: int | None,
    temperature: float | None,
    no_color: bool,
) -> Settings:
    return Settings(model, base_url, api_key_file, allow_http, system, tuple(tools or ()), max_tokens, temperature, color=not no_color)
