from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.logging import JsonFormatter, TextFormatter, configure_logging, get_logger


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Undo what a test configured."""
    root = logging.getLogger("ecs_agent")
    before = list(root.handlers), root.level, root.propagate
    yield
    root.handlers[:], root.level, root.propagate = before
    root.manager._clear_cache()  # type: ignore[attr-defined]


def record(event: str = "event", level: int = logging.INFO, exc_info: object = None, **fields: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "ecs_agent.x", "levelno": level, "levelname": logging.getLevelName(level), "msg": event, "created": 0.125})
    made.fields = fields
    made.exc_info = exc_info  # type: ignore[assignment]
    return made


def test_nothing_is_shown_until_it_is_configured() -> None:
    code = "from ecs_agent.logging import get_logger; get_logger('x').error('broken')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    get_logger("ecs_agent.agent").info("retrying", attempt=2, wait=4.5, reason="no answer", model="gpt-5")
    shown = capsys.readouterr()
    assert shown.out == ""
    time, _, rest = shown.err.partition(" ")
    assert time.endswith("Z")
    assert rest == "INFO ecs_agent.agent: retrying attempt=2 wait=4.5 reason='no answer' model=gpt-5\n"


def test_a_line_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json_output=True)
    get_logger("ecs_agent.agent").warning("retrying", attempt=2, data={"a": [1]}, level="mine")
    entry = json.loads(capsys.readouterr().err)
    assert entry.pop("time").endswith("Z")
    assert entry == {"level": "WARNING", "logger": "ecs_agent.agent", "event": "retrying", "attempt": 2, "data": {"a": [1]}, "level_": "mine"}


def test_configuring_again_replaces_the_handler_and_keeps_others(capsys: pytest.CaptureFixture[str]) -> None:
    class Kept(logging.NullHandler):
        pass

    root, kept = logging.getLogger("ecs_agent"), Kept()
    root.addHandler(kept)
    configure_logging()
    count = len(root.handlers)
    configure_logging(json_output=True, level="DEBUG")
    assert len(root.handlers) == count
    assert kept in root.handlers
    get_logger("a").debug("once")
    assert capsys.readouterr().err.count("once") == 1


def test_root_handlers_do_not_show_a_record_twice(capsys: pytest.CaptureFixture[str]) -> None:
    other = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(other)
    try:
        configure_logging()
        get_logger("a").info("once")
    finally:
        logging.getLogger().removeHandler(other)
    assert capsys.readouterr().err.count("once") == 1


@pytest.mark.parametrize(("level", "shown"), [("DEBUG", 5), ("info", 4), ("Warning", 3), ("ERROR", 2), ("CRITICAL", 0), (logging.WARNING, 3)])
def test_levels(level: str | int, shown: int, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level=level)
    log = get_logger("a")
    log.debug("1")
    log.info("2")
    log.warning("3")
    log.error("4")
    log.exception("5")  # noqa: LOG004 - outside of an except clause it is an error without a traceback
    assert len(capsys.readouterr().err.splitlines()) == shown
    assert log.is_enabled_for(logging.DEBUG) == (shown == 5)


@pytest.mark.parametrize("level", ["LOUD", "", "NOTSET", 0, -5, True, None])
def test_a_bad_level_is_refused_and_changes_nothing(level: str | int) -> None:
    before = list(logging.getLogger("ecs_agent").handlers)
    with pytest.raises(ValueError, match="it must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL"):
        configure_logging(level=level)
    assert logging.getLogger("ecs_agent").handlers == before


def test_names_stand_under_the_package() -> None:
    assert get_logger("ecs_agent").name == "ecs_agent"
    assert get_logger("ecs_agent.core").name == "ecs_agent.core"
    assert get_logger("shop").name == "ecs_agent.shop"
    assert get_logger("ecs_agents").name == "ecs_agent.ecs_agents"


def test_records_reach_other_handlers_with_place_and_fields(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "ecs_agent"):
        get_logger("a").info("100 % %s", attempt=1)
    (found,) = caplog.records
    assert found.getMessage() == "100 % %s"
    assert vars(found)["fields"] == {"attempt": 1}
    assert (found.funcName, found.filename) == ("test_records_reach_other_handlers_with_place_and_fields", "test_logging.py")


@pytest.mark.parametrize("json_output", [False, True])
def test_exceptions_are_shown(json_output: bool, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json_output=json_output)
    log = get_logger("a")
    try:
        raise KeyError("missing")
    except KeyError as error:
        log.exception("broken", step=1)
        log.info("as it was", exc_info=error)
    shown = capsys.readouterr().err
    assert shown.count("KeyError: 'missing'") == 2
    assert shown.count("Traceback") == 2


# Secrets

SECRET = "sk-canary-123"
SECRET_NAMES = ["api_key", "apiKey", "OPENAI_API_KEY", "x-api-key", "authorization", "Proxy-Authorization", "auth", "basic_auth", "bearer"]
SECRET_NAMES += ["token", "access_token", "accessToken", "client_secret", "secrets", "password", "db_passwd", "private_key", "credentials"]
SECRET_NAMES += ["cookie", "set-cookie"]


@pytest.mark.parametrize(
    "name",
    SECRET_NAMES,
)
@pytest.mark.parametrize("json_output", [False, True])
def test_values_of_secret_names_are_masked(
    name: str, json_output: bool, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    fields: dict[str, Any] = {name: SECRET}
    configure_logging(json_output=json_output)
    logging.getLogger("ecs_agent").addHandler(caplog.handler)
    get_logger("a").info("asking", **fields, headers={name: SECRET, "accept": "json"}, many=[{name: SECRET}], none={name: None})
    shown = capsys.readouterr().err
    assert SECRET not in shown
    assert "***" in shown
    assert "accept" in shown
    assert SECRET not in str(vars(caplog.records[0]))


@pytest.mark.parametrize(
    "name", ["tokens", "total_tokens", "prompt_tokens", "tokens_per_second", "token_count", "author", "cache_key", "key", "authority"]
)
def test_names_that_only_look_secret_are_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    fields: dict[str, Any] = {name: 12}
    configure_logging()
    get_logger("a").info("done", **fields)
    assert f"{name}=12" in capsys.readouterr().err


def test_masking_is_bounded() -> None:
    looped: dict[str, object] = {"api_key": SECRET}
    looped["again"] = [looped]
    configure_logging()
    get_logger("a").info("deep", data=looped)


# Safety


def test_a_line_cannot_steer_a_terminal_or_forge_another_line() -> None:
    line = TextFormatter().format(record("bad \x1b[2J", path="a\nINFO fake", name="\x1b]0;x\x07"))
    assert "\x1b" not in line
    assert "\n" not in line


def test_text_and_json_of_a_plain_record_of_the_standard_library() -> None:
    plain = logging.makeLogRecord({"name": "ecs_agent.x", "levelname": "INFO", "msg": "%d of %d", "args": (1, 2), "created": 0.0})
    assert TextFormatter().format(plain) == "1970-01-01T00:00:00.000Z INFO ecs_agent.x: 1 of 2"
    assert json.loads(JsonFormatter().format(plain))["event"] == "1 of 2"


def test_without_standard_error_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    configure_logging()
    monkeypatch.setattr(sys, "stderr", None)
    get_logger("a").info("unheard")


def test_a_value_that_cannot_be_shown_does_not_break_the_caller(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    configure_logging()
    get_logger("a").info("odd", value=Broken())
    assert "Logging error" in capsys.readouterr().err


values = st.recursive(
    st.none() | st.floats() | st.text() | st.binary() | st.builds(object) | st.sets(st.integers()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.tuples(st.integers()), inner, max_size=3),
    max_leaves=8,
)


@given(st.text(), st.dictionaries(st.text(min_size=1), values, max_size=4))
def test_every_json_line_is_one_json_object(event: str, fields: dict[str, Any]) -> None:
    line = JsonFormatter().format(record(event, **{f"f{name}": value for name, value in fields.items()}))
    assert "\n" not in line
    entry = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert entry["event"] == event
