"""How many sockets a process may have open."""

from __future__ import annotations

import resource


def raise_descriptor_limit() -> int:
    """Allow as many as may be asked for, and return how many that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most
