"""What all tests share: a guard that keeps them on this machine, and a model server on the loopback address."""

from __future__ import annotations

import gc
import ipaddress
import socket
import sys
import threading
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("patient", deadline=None)  # how long an example takes says more about the machine than about the code
settings.load_profile("patient")


def pytest_collection_finish() -> None:
    """Set aside what is there before the first test: many tests collect garbage, and each would look through all that pytest knows of the others."""
    gc.collect()
    gc.freeze()


class LoopbackGuard:
    """Refuses every connection and name look-up that would leave this machine.

    It listens to the interpreter's audit events, so it sees what asyncio, aiohttp and threads do as well. A refusal is raised where it
    happens and also fails the test afterwards, because code under test may turn the exception into one of its own. Names under `.invalid`
    are answered as their standard (RFC 2606) promises: they do not exist.
    """

    def __init__(self) -> None:
        self.refused: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"socket.connect", "socket.sendto"}:
            connection, address = arguments
            if connection.family in {socket.AF_INET, socket.AF_INET6}:
                self.check(event, address[0])
        elif event in {"socket.getaddrinfo", "socket.gethostbyname"}:
            self.check(event, arguments[0])

    def check(self, event: str, host: str | bytes | None) -> None:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host or ""
        if is_loopback(name):
            return
        if name.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        self.refused.append(f"{event} {name}")
        raise RuntimeError(f"Tests stay on this machine: {event} of {name!r} was refused. Use a server on 127.0.0.1 or a FakeProvider.")


def is_loopback(host: str) -> bool:
    """Tell whether a host needs no network: an address of the loopback range, localhost, or none at all."""
    if host in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


GUARD = LoopbackGuard()
sys.addaudithook(GUARD)


@pytest.fixture(autouse=True)
def refused_connections() -> Iterator[list[str]]:
    """Fail the test when it tried to leave this machine; a test of the guard itself empties the list."""
    GUARD.refused.clear()
    yield GUARD.refused
    assert not GUARD.refused, f"the test tried to leave this machine: {GUARD.refused}"


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Keep every tracer off a test that is marked `no_cover`: in a process of pytest-xdist pytest-cov starts two and stops one of them."""
    if item.get_closest_marker("no_cover") is None or not item.config.pluginmanager.hasplugin("_cov"):
        return (yield)
    here, in_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(here)
        threading.settrace(in_threads)
