"""The sweep before sleep: edits from outside, which nobody announced, are found by comparing everyone once more.

A run that ends does it at once. A world that is served does it a while after the last call, and some entities at a time: with ten thousand
agents at rest each message to one of them would else hold up those that are not.
"""

from __future__ import annotations

from collections.abc import Callable

from ecs_agent.core.row import Row
from ecs_agent.core.state import State
from ecs_agent.core.tasks import pause

SWEEP_AFTER = 1.0
SWEPT_AT_ONCE = 256
"""How a served world is swept: so many seconds after the last call, so many entities at a time."""


class Sweep:
    """Looks at every entity.

    Args:
        state: the entities.
        look: whether something is due on one.

    Attributes:
        is_due: whether a call has run since the last time.
    """

    def __init__(self, state: State, look: Callable[[Row], None]) -> None:
        self._state = state
        self._look = look
        self.is_due = True

    def at_once(self) -> None:
        """Look at everyone now."""
        for row in list(self._state.rows.values()):
            self._state.compare(row)
            self._look(row)

    async def bit_by_bit(self, go_on: Callable[[], bool]) -> None:
        """Look at everyone, and let the others run in between.

        Args:
            go_on: called after some of them; starts what was found due, and says whether to look at the rest.
        """
        self.is_due = False
        rows = list(self._state.rows.values())
        for start in range(0, len(rows), SWEPT_AT_ONCE):
            for row in rows[start : start + SWEPT_AT_ONCE]:
                if row.id in self._state.rows and not row.calls:
                    self._state.compare(row)
                    self._look(row)
            if not go_on():
                return
            await pause()
