"""docs/one-truth.md, from results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.server import ROOT
from benchmarks.truth.contest import OURS, PEERS
from benchmarks.truth.judge import Verdict
from benchmarks.truth.results import Results
from benchmarks.truth.scenarios import SCENARIOS, Scenario

PAGE = ROOT / "docs" / "one-truth.md"
MARKS = {True: "✓", False: "✗", None: "-"}

HOW = """## How it was done

* Everybody asks the same model server over loopback sockets, each in a process and an environment of its own, and is used as its documentation shows:
  the way it streams, cancels, keeps a history, retries. One question goes wrong, then the next one is asked in the same conversation.
* *History* is what the contestant itself remembers between two questions: a conversation, a session, the messages of a run. Where its documentation
  leaves that to the caller, it has none of its own, and what is asked about it does not apply (-). *Marked* is what a field of the message says.
* *Shown* is the text of the deltas, as they came, less what the contestant said to take back. *The next request* is what the server received: each
  call with its result, arguments that are JSON objects, no empty answers. Several servers refuse anything else.
* *Usage* that nobody has told may be not known, or an estimate that says so; 0 would be wrong, and so would a number that looks counted.
* openai-agents has a SQLiteSession; pydantic-ai's events are those of `run_stream_events`, and its history their messages; LangChain is its chat
  model with its tools in the documented loop, since its agents and their memory are other packages; ecs-agent 0.1.0 is a world with one agent.
* To ask again, this package has a `StreamPolicy("retry")`, LangChain `with_retry`, openai-agents the retries of its model settings, pydantic-ai a
  `FallbackModel`, litellm a `Router` with a fallback and `enable_mid_stream_fallback_continuation`, the openai SDK its `max_retries`, ecs-agent
  0.1.0 a `RetryModel`. Most of these are for requests that fail before an answer has begun. Who gives up leaves the user with half an answer.
"""

AGAIN = """## Play it again

```text
make peers                            the others, each in an environment of its own
python -m benchmarks.truth            this package and the peers that are installed
python -m benchmarks.truth --save     the same; renews this page
```

The scenarios are in `benchmarks/truth/scenarios.py`, and what is asked in `judge.py`. The tests play them with this package, and hold this page
against the results that were saved. Many more, drawn at random, are in `tests/promises/test_one_truth.py`.
"""


def page(found: Results) -> str:
    """The page as Markdown."""
    shown = [who for who in (OURS.name, *[peer.name for peer in PEERS]) if who in found.verdicts]
    head = (
        "# One truth\n\nWhat is left of an answer that goes wrong on its way: what the program is told, what history holds, what was shown and what\n"
        f"is accounted. Played on {found.date}; all answers are in [the results](../benchmarks/results/truth/{found.date}.json).\n"
    )
    sections = [head, _summary(found, shown), *[_section(scenario, found, shown) for scenario in SCENARIOS], HOW, AGAIN, _versions(found, shown)]
    return "\n".join(sections)


def _summary(found: Results, shown: Sequence[str]) -> str:
    lines = [
        f"| [{scenario.title}](#{scenario.title.lower().replace(' ', '-')}) | "
        f"{' | '.join(_score(found.verdicts[who].get(scenario.name, ())) for who in shown)} |"
        for scenario in SCENARIOS
    ]
    every = [_score([verdict for verdicts in found.verdicts[who].values() for verdict in verdicts]) for who in shown]
    lines.append(f"| **all** | {' | '.join(f'**{each}**' for each in every)} |")
    head = "## Who passes what\n\nHow many of the questions that apply to it are answered as they should be.\n"
    return "\n".join([head, *_table(("", *shown)), *lines, ""])


def _score(verdicts: Iterable[Verdict]) -> str:
    judged = [verdict.passed for verdict in verdicts if verdict.passed is not None]
    return f"{sum(judged)} of {len(judged)}" if judged else MARKS[None]


def _section(scenario: Scenario, found: Results, shown: Sequence[str]) -> str:
    asked = list(dict.fromkeys(verdict.question for who in shown for verdict in found.verdicts[who].get(scenario.name, ())))
    lines = [f"| {question} | {' | '.join(_cell(found.verdicts[who].get(scenario.name, ()), question) for who in shown)} |" for question in asked]
    return "\n".join([f"## {scenario.title}\n\n{scenario.what}\n", *_table(("", *shown)), *lines, ""])


def _cell(verdicts: Iterable[Verdict], question: str) -> str:
    return next((f"{MARKS[verdict.passed]} {verdict.says}" for verdict in verdicts if verdict.question == question), "")


def _table(titles: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]


def _versions(found: Results, shown: Sequence[str]) -> str:
    lines = [f"| {who} | {found.versions[who]} |" for who in shown if who in found.versions]
    return "\n".join(["## Versions\n", *_table(("who", "version")), *lines, ""])
