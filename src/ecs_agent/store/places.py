"""Where in a value something is wrong: errors that gather the steps to it on their way up."""

from __future__ import annotations

from typing import Any, cast

from ecs_agent.streaming.plain_data import PlainData


class NoDataError(TypeError):
    """A value, or something in it, cannot be written. `place` is the way to it, as Python would write it."""

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.place = place


class DamagedDataError(ValueError):
    """Data, or something in it, is not what it should be."""

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.place = place


def unwritten(error: TypeError, step: str) -> NoDataError:
    """The same, seen from one step further out."""
    if isinstance(error, NoDataError):
        return NoDataError(error.reason, step + error.place)
    return NoDataError(str(error), step)


def unread(error: ValueError, step: str) -> DamagedDataError:
    """The same, seen from one step further out."""
    if isinstance(error, DamagedDataError):
        return DamagedDataError(error.reason, step + error.place)
    return DamagedDataError(str(error), step)


def write_plain(plain: PlainData, value: object) -> Any:
    """What `PlainData` makes of a value; its error says where in it."""
    try:
        return plain.write(value)
    except TypeError as error:
        raise _placed(plain, value, error) from None


def _placed(plain: PlainData, value: object, error: TypeError) -> TypeError:
    """Look for the place. It is done only when all is lost, so it may take its time."""
    place = ""
    while True:
        found = _inner(plain, value)
        if found is None or len(place) > 200:
            return unwritten(error, place)
        step, value, error = found
        place += step


def _inner(plain: PlainData, value: object) -> tuple[str, object, TypeError] | None:
    if isinstance(value, dict):
        steps = [(f"[{key!r}]", item) for key, item in cast("dict[object, object]", value).items()]
    elif isinstance(value, (list, tuple)):
        steps = [(f"[{index}]", item) for index, item in enumerate(cast("list[object]", value))]
    else:
        return None
    for step, item in steps:
        try:
            plain.write(item)
        except TypeError as error:
            return step, item, error
    return None
