"""Whether the options that a provider over HTTP was given exist."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from ecs_agent.providers.http.client import HTTPOptions
from ecs_agent.providers.protocol import KNOWN_OPTIONS

HTTP_OPTIONS: Final = frozenset(HTTPOptions.__optional_keys__)

_CALLED_OTHERWISE: Final[Mapping[str, str]] = {
    "timeout": "give read_timeout (silence) or total_timeout, in seconds",
    "max_retries": "put a RetryProvider before it",
    "default_headers": "give headers",
    "http_client": "give client, an AsyncOpenAI or AsyncAnthropic that has it",
    "client": "this protocol takes no client of an SDK; leave it out",
    "verify": "give ssl_context",
    "stream": "give it to complete(…, stream=True)",
}
"""What other libraries call their options, and what to do here."""


def check_http_options(provider: object, options: Mapping[str, object]) -> None:
    """Whether they exist; see `HTTPOptions`.

    Raises:
        TypeError: one does not.
    """
    name = next((name for name in options if name not in HTTP_OPTIONS), None)
    if name is None:
        return
    if name in KNOWN_OPTIONS:
        advice = f"it is an option of a request: give it to complete(…, {name}=…), or to spawn_agent"
    elif name in _CALLED_OTHERWISE:
        advice = _CALLED_OTHERWISE[name]
    elif near := get_close_matches(name, HTTP_OPTIONS, n=1):
        advice = f"did you mean {near[0]!r}?"
    else:
        advice = f"beside its own arguments it has {', '.join(sorted(HTTP_OPTIONS))}"
    raise TypeError(f"{type(provider).__name__} has no option {name!r}; {advice}")
