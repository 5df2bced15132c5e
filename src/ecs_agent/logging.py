"""Logging with fields: standard-library logging underneath, silent until it is configured.

    log = get_logger(__name__)
    log.info("retrying", attempt=2, wait=4.0)

The first argument is a fixed phrase, the facts are fields, so that lines can be searched and JSON lines parsed. A call below the level costs
a fraction of a microsecond. Values of fields whose names say that they are secret are replaced before a record exists, for every handler.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TypeAlias, cast

ExcInfo: TypeAlias = bool | BaseException | tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None] | None

_ROOT = "ecs_agent"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_RESERVED = frozenset({"time", "level", "logger", "event", "exception"})
_MASK = "***"
_MASK_DEPTH = 8
# "token" only at the end: token counts (`prompt_tokens`, `tokens_per_second`) are no secrets.
_SECRET_NAME = re.compile(r"api_?key|(private|access)_?key|authorization|password|passwd|secret|credential|cookie|bearer|token$|(^|_)auth$")

logging.getLogger(_ROOT).addHandler(logging.NullHandler())


class Logger:
    """Log calls that take keyword fields; one for each module, from `get_logger`."""

    __slots__ = ("_logger",)

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    @property
    def name(self) -> str:
        """The name under which the standard library knows this logger."""
        return self._logger.name

    def is_enabled_for(self, level: int) -> bool:
        """Whether a call at `level` would reach a handler; for facts that are dear to compute."""
        return self._logger.isEnabledFor(level)

    def debug(self, event: str, /, *, exc_info: ExcInfo = None, **fields: object) -> None:
        """For whoever looks for a defect."""
        if self._logger.isEnabledFor(logging.DEBUG):
            self._emit(logging.DEBUG, event, exc_info, fields)

    def info(self, event: str, /, *, exc_info: ExcInfo = None, **fields: object) -> None:
        """Something expected happened."""
        if self._logger.isEnabledFor(logging.INFO):
            self._emit(logging.INFO, event, exc_info, fields)

    def warning(self, event: str, /, *, exc_info: ExcInfo = None, **fields: object) -> None:
        """Something went wrong and was dealt with."""
        if self._logger.isEnabledFor(logging.WARNING):
            self._emit(logging.WARNING, event, exc_info, fields)

    def error(self, event: str, /, *, exc_info: ExcInfo = None, **fields: object) -> None:
        """Something went wrong that somebody has to see."""
        if self._logger.isEnabledFor(logging.ERROR):
            self._emit(logging.ERROR, event, exc_info, fields)

    def exception(self, event: str, /, **fields: object) -> None:
        """An error with the exception that is being handled."""
        if self._logger.isEnabledFor(logging.ERROR):
            self._emit(logging.ERROR, event, True, fields)

    def _emit(self, level: int, event: str, exc_info: ExcInfo, fields: dict[str, object]) -> None:
        # Three frames up stands the line that logs: this call, the level's method, the caller.
        self._logger.log(level, event, exc_info=exc_info, extra={"fields": masked(fields)}, stacklevel=3)


def get_logger(name: str) -> Logger:
    """The logger of a module: `get_logger(__name__)`.

    A name outside this package is put under it ("shop" becomes "ecs_agent.shop"), so that `configure_logging` covers it too.
    """
    known = name == _ROOT or name.startswith(_ROOT + ".")
    return Logger(logging.getLogger(name if known else f"{_ROOT}.{name}"))


def configure_logging(json_output: bool = False, level: str | int = "INFO") -> None:
    """Show this package's log on standard error; calling it again replaces the earlier choice.

    The package's records then no longer reach handlers of the root logger, which would show them twice.

    Args:
        json_output: one JSON object a line instead of a line for people.
        level: DEBUG, INFO, WARNING, ERROR or CRITICAL in any case, or a number of the standard library.

    Raises:
        ValueError: there is no such level.
    """
    number = _level_number(level)
    root = logging.getLogger(_ROOT)
    for handler in [handler for handler in root.handlers if isinstance(handler, _StandardErrorHandler)]:
        root.removeHandler(handler)
        handler.close()
    handler = _StandardErrorHandler()
    handler.setFormatter(JsonFormatter() if json_output else TextFormatter())
    root.addHandler(handler)
    root.setLevel(number)
    root.propagate = False


def _level_number(level: str | int) -> int:
    if isinstance(level, str) and level.upper() in _LEVELS:
        return logging.getLevelNamesMapping()[level.upper()]
    if isinstance(level, int) and not isinstance(level, bool) and level > 0:
        return level
    raise ValueError(f"level is {level!r}; it must be one of {', '.join(_LEVELS)} or a positive number")


def masked(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields with `***` for each value whose name says that it is secret, also inside mappings and lists."""
    return {name: _masked_value(name, value, _MASK_DEPTH) for name, value in fields.items()}


def _masked_value(name: str, value: Any, depth: int) -> object:
    if value is not None and _SECRET_NAME.search(name.lower().replace("-", "_")):
        return _MASK
    if not isinstance(value, (Mapping, list, tuple)):
        return cast("object", value)
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return {key: _masked_value(str(key), inner, depth - 1) for key, inner in cast("Mapping[object, object]", value).items()}
    return [_masked_value("", inner, depth - 1) for inner in cast("list[object]", value)]


class TextFormatter(logging.Formatter):
    """`2026-01-31T09:30:00.125Z WARNING ecs_agent.tools: tool failed tool=add seconds=0.2`, safe to show in a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback below it."""
        fields = "".join(f" {name}={_shown(value)}" for name, value in _fields(record).items())
        line = f"{_time(record)} {record.levelname} {record.name}: {record.getMessage()}{fields}"
        exception = _exception(record)
        return _printable(f"{line}\n{exception}" if exception else line)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, event, the fields, and exception (the traceback) when there is one.

    A field with one of these names is written with `_` behind it. What JSON cannot hold is written as its `repr`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        entry: dict[str, Any] = {"time": _time(record), "level": record.levelname, "logger": record.name, "event": record.getMessage()}
        for name, value in _fields(record).items():
            entry[f"{name}_" if name in _RESERVED else name] = value
        exception = _exception(record)
        if exception:
            entry["exception"] = exception
        try:
            return json.dumps(entry, default=repr, allow_nan=False)
        except (TypeError, ValueError, RecursionError):  # keys that are no strings, nan, cycles
            return json.dumps({name: value if isinstance(value, str) else repr(value) for name, value in entry.items()})


class _StandardErrorHandler(logging.Handler):
    """Writes to what `sys.stderr` is at that moment, so that redirection works also after it was configured."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
            # A process without a console has no standard error.
            if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]
                sys.stderr.write(line + "\n")
        except Exception:  # noqa: BLE001 - a broken log never breaks the program; the standard library reports it
            self.handleError(record)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = getattr(record, "fields", {})
    return fields


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _exception(record: logging.LogRecord) -> str:
    # exc_info of a call outside of any except clause is three times None.
    return "".join(traceback.format_exception(*record.exc_info)).rstrip() if record.exc_info and record.exc_info[0] else ""


def _shown(value: object) -> str:
    """A bare word when that is unambiguous, else the repr."""
    return value if isinstance(value, str) and re.fullmatch(r"[\w.:/*@+-]+", value) else repr(value)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in text)
