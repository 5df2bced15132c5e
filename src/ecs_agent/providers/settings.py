"""Where a provider's key, URL and model come from: the arguments, else the environment, else one clear sentence."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from ecs_agent.errors import ConfigurationError
from ecs_agent.providers.http.sdk_client import SDKClient, client_base_url
from ecs_agent.providers.secret import Secret

_WITHOUT_SCHEME: Final = re.compile(r"(localhost|[\w-]+(\.[\w-]+)+)(?=[:/])(:\d{1,5})?(/[\w./-]{0,40})?$")
"""A host that is written as one, with nothing in it that may be a password."""


_SHORTER_THAN_KEYS: Final = 20


@dataclass(frozen=True, slots=True)
class Settings:
    """Whom to ask, and with which key, or with which SDK's client, which has its own."""

    base_url: str
    model: str
    key: Secret | None
    client: SDKClient | None = field(default=None, repr=False)


def resolve(
    *,
    api_key: str | Secret | None,
    base_url: str | None,
    model: str | None,
    key_names: Sequence[str],
    url_names: Sequence[str],
    default_url: str,
    allow_http: bool = False,
    needs_key: bool = True,
    client: SDKClient | None = None,
) -> Settings:
    """Arguments first, then the environment variables in the order given; of a client only the model is asked.

    Without `key_names` no key of the environment is taken, and without `needs_key` none has to be there.

    Raises:
        ConfigurationError: there is no key for a server that is not on this machine, no model, the URL cannot be used, or a client is none or stands
            beside a key or a URL.
    """
    if client is not None:
        return _of_client(client, api_key, base_url, model)
    if base_url is not None and not base_url.strip():
        raise ConfigurationError("base_url is empty; give https://host[:port]/path, or leave it out for the environment's")
    url = (base_url or _from_environment(url_names) or default_url).strip().rstrip("/")
    named = next((name for name in url_names if os.environ.get(name)), None)
    local = is_loopback(url, called="base_url" if base_url or named is None else named)
    chosen = _model(model)
    key = api_key if isinstance(api_key, Secret) else _secret(api_key if api_key is not None else _from_environment(key_names))
    if key is None and not local and needs_key:
        where = f"set {key_names[0]}, or give" if key_names else "give"
        raise ConfigurationError(f"no API key for {urlsplit(url).hostname}; {where} api_key=… (a server on this machine needs none)")
    if not local and url.startswith("http://") and not allow_http:
        what = "the key" if key is not None else "what is said"
        raise ConfigurationError(f"{url} is not encrypted, so {what} is not sent there; use https://, or allow_http=True if you mean it")
    return Settings(url, chosen, key)


def _of_client(client: SDKClient, api_key: str | Secret | None, base_url: str | None, model: str | None) -> Settings:
    for name, value in (("api_key", api_key), ("base_url", base_url)):
        if value is not None:
            raise ConfigurationError(f"{name} was given beside client, which has its own; give {name} to the client, or leave the client out")
    return Settings(client_base_url(client), _model(model), None, client)


def _model(given: str | None) -> str:
    model = given or _from_environment(("LLM_MODEL",))
    if not model:
        raise ConfigurationError("no model was named; give model='…' or set LLM_MODEL")
    return model


def _secret(value: str | None) -> Secret | None:
    return Secret(value) if value is not None else None


def _from_environment(names: Sequence[str]) -> str | None:
    return next((value for name in names if (value := os.environ.get(name))), None)


def _may_be_shown(url: str) -> bool:
    """Whether it holds no password, and is no key that was given in the wrong place."""
    return set(url).isdisjoint("@?#") and ("://" in url or len(url) < _SHORTER_THAN_KEYS)


def is_loopback(url: str, *, called: str = "base_url") -> bool:
    """Whether a URL leads to this machine.

    Args:
        url: the URL.
        called: where it stands, for the error.

    Raises:
        ConfigurationError: it is no URL that a request could be sent to.
    """
    parts, host, readable = urlsplit(""), None, False
    try:
        parts = urlsplit(url)
        host, readable = parts.hostname, parts.port != 0
    except ValueError:
        pass
    if not readable:  # outside of the handler, whose error quotes the URL and what may be a password in it
        raise ConfigurationError(f"{called} is no URL (its host or its port cannot be read); it looks like https://api.example.com/v1")
    if _WITHOUT_SCHEME.match(url):
        scheme = "http" if is_loopback(f"http://{url}", called=called) else "https"
        raise ConfigurationError(f"{called} {url!r} is no URL; write it as {scheme}://{url}")
    if parts.scheme not in ("http", "https") or not host or any(letter.isspace() for letter in parts.netloc):
        what = f"{called} {url!r}" if _may_be_shown(url) else called
        raise ConfigurationError(f"{what} is no URL; it looks like https://api.example.com/v1")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError(f"{called} holds a user, a query or a fragment; give only https://host[:port]/path, and the key as api_key")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
