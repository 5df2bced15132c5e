"""What an agent is to do, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class PlanComponent:
    """A plan: `current_step` is the index of the first step that is not done; `completed` says that nothing is left to do.

    `asked` says that the current step was put to the agent. `revise` is why the plan should be looked at again, "" when it should not;
    `reviewed` are the failed tool calls that were the reason before. A plan is revised at most `max_revisions` times; `revisions` counts.
    """

    steps: list[str]
    current_step: int = 0
    completed: bool = False
    asked: bool = False
    revise: str = ""
    reviewed: list[str] = field(default_factory=list[str])
    revisions: int = 0
    max_revisions: int = 3
