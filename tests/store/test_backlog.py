from __future__ import annotations

from tests.store.engine_suite import frames

from ecs_agent.store.backlog import Backlog


def test_what_was_written_is_taken_out_when_more_comes() -> None:
    backlog = Backlog()
    backlog.add(frames(1, 2, 1), 0)
    assert (list(backlog.frames), backlog.size) == (frames(1, 2, 1), 36)
    backlog.add(frames(1, start=4), 2)
    assert (list(backlog.frames), backlog.size) == ([*frames(2, 1, start=1), *frames(1, start=4)], 36)
    backlog.add([], 5)
    assert (list(backlog.frames), backlog.size) == ([], 0)
