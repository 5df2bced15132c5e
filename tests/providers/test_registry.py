"""From "service/model" to a provider: the right URL, the right header, and no key to whom it is not meant for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ecs_agent.errors import ConfigurationError
from ecs_agent.providers import (
    PRESETS,
    AnthropicProvider,
    Capabilities,
    LocalProvider,
    ModelRegistry,
    OpenAIProvider,
    Preset,
    TransportRequest,
    resolve_model,
)
from ecs_agent.providers.http.provider import HTTPProvider
from ecs_agent.providers.local import weights as local_weights
from ecs_agent.testing import ScriptedTransport
from ecs_agent.testing.transport import ScriptedResponse
from ecs_agent.types import Message

HI = [Message("user", "Hi")]
CANARY = "sk-canary-0123456789abcdef"
OTHERS = "sk-of-another-service-4711"
SERVICES = [preset for preset in PRESETS if preset.family != "local"]
OWN_URL = "https://mine.example/v1"


class Wire:
    """A transport that keeps the requests as they would leave."""

    def __init__(self) -> None:
        self._server = ScriptedTransport(["Hello."])  # told in the protocol of each request
        self.sent: list[TransportRequest] = []

    async def open(self, request: TransportRequest) -> ScriptedResponse:
        self.sent.append(request)
        return await self._server.open(request)

    async def aclose(self) -> None:
        pass


@pytest.fixture(autouse=True)
def an_empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {name for preset in PRESETS for name in (*preset.key_names, *preset.url_names)}
    for name in {*variables, "LLM_API_KEY", "LLM_BASE_URL", "LLM_MODEL"} & set(os.environ):
        monkeypatch.delenv(name)


async def sent_by(model: str, **options: Any) -> TransportRequest:
    """The request that a provider of that name sends."""
    wire = Wire()
    provider = resolve_model(model, transport=wire, **options)
    assert isinstance(provider, HTTPProvider)
    async with provider:
        assert (await provider.complete(HI)).message.content == "Hello."
    return wire.sent[0]


def refused(model: str, **options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        resolve_model(model, **options)
    return str(caught.value)


# Whom a name means

# What a family appends to the base URL, and the header of its key.
WIRES = {
    "anthropic": ("/v1/messages", "x-api-key", CANARY),
    "gemini": ("/models/some-model:generateContent", "x-goog-api-key", CANARY),
    "openai-chat": ("/chat/completions", "authorization", f"Bearer {CANARY}"),
    "openai-responses": ("/responses", "authorization", f"Bearer {CANARY}"),
}


@pytest.mark.parametrize("preset", SERVICES, ids=lambda preset: preset.name)
async def test_each_service_is_asked_at_its_url_with_its_key(preset: Preset) -> None:
    own = {} if preset.base_url else {"base_url": OWN_URL}
    request = await sent_by(f"{preset.name}/some-model", api_key=CANARY, **own)
    path, header, value = WIRES[preset.family]
    assert request.url == (preset.base_url or OWN_URL) + path
    assert request.headers[header] == value
    assert "some-model" in request.url + request.body.decode()


@pytest.mark.parametrize("preset", SERVICES, ids=lambda preset: preset.name)
def test_each_service_is_known_by_all_its_names_and_says_what_it_can(preset: Preset) -> None:
    for name in (preset.name, *preset.aliases):
        provider = resolve_model(f"{name}/some-model", api_key=CANARY, base_url=preset.base_url or OWN_URL)
        assert (provider.name, provider.model, provider.capabilities) == (preset.name, "some-model", preset.capabilities)


def test_what_a_service_can_is_what_all_its_models_can_as_they_share_its_provider() -> None:
    assert not resolve_model("anthropic/claude-sonnet-4-5", api_key=CANARY).capabilities.prefill
    assert AnthropicProvider(CANARY, model="claude-sonnet-4-5").capabilities.prefill


def test_the_model_is_all_that_stands_behind_the_first_slash() -> None:
    assert resolve_model("openrouter/anthropic/claude-x", api_key=CANARY).model == "anthropic/claude-x"


def test_options_are_those_of_the_provider() -> None:
    provider = resolve_model("ollama/qwen3", name="small", capabilities=Capabilities(tools=False), read_timeout=3.0)
    assert isinstance(provider, OpenAIProvider)
    assert (provider.name, provider.capabilities.tools) == ("small", False)
    assert provider._client.limits.read == 3.0
    with pytest.raises(TypeError, match="bogus"):
        resolve_model("ollama/qwen3", bogus=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("gpt-5", "'gpt-5' does not say whose model it is; write it as 'service/model'"),
        ("openai/", "write it as 'service/model'"),
        ("opnai/gpt-5", "there is no service 'opnai'; did you mean 'openai'? known are openai, openai-responses, azure,"),
        ("OpenAI/gpt-5", "did you mean 'openai'?"),
        ("xyzzyplugh/gpt-5", "there is no service 'xyzzyplugh'; known are openai,"),
        ("groq/any", "no API key for api.groq.com; set GROQ_API_KEY, or give api_key=…"),
        ("azure/any", "each user of azure has a URL of their own; give yours as base_url=…"),
    ],
)
def test_what_is_missing_is_one_sentence(model: str, sentence: str) -> None:
    assert sentence in refused(model)


# Keys

URL_OF_ANOTHER = "https://proxy.example/v1"


async def test_the_key_is_the_argument_else_that_of_the_services_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", OTHERS)
    assert (await sent_by("groq/m", api_key=CANARY)).headers["authorization"] == f"Bearer {CANARY}"
    assert (await sent_by("groq/m")).headers["authorization"] == f"Bearer {OTHERS}"


@pytest.mark.parametrize("preset", SERVICES, ids=lambda preset: preset.name)
async def test_no_service_gets_the_key_of_another(preset: Preset, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {"LLM_API_KEY", *[name for other in PRESETS for name in other.key_names if name not in preset.key_names]}:
        monkeypatch.setenv(name, OTHERS)
    own = {} if preset.base_url else {"base_url": OWN_URL}
    if preset.needs_key:
        assert f"set {preset.key_names[0]}" in refused(f"{preset.name}/m", **own)
    else:
        assert "authorization" not in (await sent_by(f"{preset.name}/m")).headers


@pytest.mark.parametrize("preset", [preset for preset in SERVICES if preset.base_url], ids=lambda preset: preset.name)
async def test_a_key_of_the_environment_is_not_sent_to_another_server(preset: Preset, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in preset.key_names:
        monkeypatch.setenv(name, CANARY)
    if preset.needs_key:
        sentence = refused(f"{preset.name}/some-model", base_url=URL_OF_ANOTHER)
        assert f"a key in {preset.key_names[0]} is meant for" in sentence
        assert "is not sent to proxy.example; give api_key=… with that base_url" in sentence
        unknown = await sent_by(f"{preset.name}/some-model", base_url="http://127.0.0.1:9/v1")
    else:
        unknown = await sent_by(f"{preset.name}/some-model", base_url=URL_OF_ANOTHER)
    path, header, value = WIRES[preset.family]
    assert header not in unknown.headers
    assert CANARY not in str(unknown.headers)
    given = await sent_by(f"{preset.name}/some-model", base_url=URL_OF_ANOTHER, api_key=OTHERS)
    assert (given.url, given.headers[header]) == (
        URL_OF_ANOTHER.removesuffix("/v1") + "/v1" + path.removeprefix("/v1"),
        value.replace(CANARY, OTHERS),
    )


@pytest.mark.parametrize("url", ["http://api.groq.com:443/openai/v1", "https://api.groq.com:8443/openai/v1", "https://api.groq.com.evil.example/v1"])
def test_another_port_name_or_protection_is_another_server(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", CANARY)
    assert "give api_key=… with that base_url" in refused("groq/m", base_url=url, allow_http=True)


@pytest.mark.parametrize("url", ["https://api.groq.com/openai/v2", "https://API.groq.com:443/x/"])
async def test_another_path_of_the_service_is_still_the_service(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", CANARY)
    assert (await sent_by("groq/m", base_url=url)).headers["authorization"] == f"Bearer {CANARY}"


async def test_another_port_of_this_machine_is_still_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", CANARY)
    assert (await sent_by("vllm/m", base_url="http://127.0.0.1:9000/v1")).headers["authorization"] == f"Bearer {CANARY}"


async def test_a_url_in_the_services_own_variable_gets_the_services_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", URL_OF_ANOTHER)
    monkeypatch.setenv("LLM_BASE_URL", "https://nobody.example/v1")
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    request = await sent_by("openai/m")
    assert (request.url, request.headers["authorization"]) == (f"{URL_OF_ANOTHER}/chat/completions", f"Bearer {CANARY}")


async def test_users_with_a_url_of_their_own_have_their_key_in_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", CANARY)
    assert (await sent_by("azure/m", base_url=OWN_URL)).headers["authorization"] == f"Bearer {CANARY}"


def test_nothing_goes_unencrypted_to_another_machine_unless_it_is_meant() -> None:
    assert "so what is said is not sent there" in refused("ollama/m", base_url="http://192.0.2.1:11434/v1")
    assert "so the key is not sent there" in refused("ollama/m", base_url="http://192.0.2.1:11434/v1", api_key=CANARY)
    assert resolve_model("ollama/m", base_url="http://192.0.2.1:11434/v1", allow_http=True).model == "m"


@pytest.mark.parametrize("url", ["", "nonsense", "https://user:hunter2@example.com", "https://[::1"])
def test_a_url_that_is_none_is_refused_without_what_is_secret_in_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", CANARY)
    sentence = refused("groq/m", base_url=url)
    assert "base_url" in sentence
    assert "hunter2" not in sentence


# The model of this machine


def test_local_alone_is_the_embedded_model_and_a_path_behind_it_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights = tmp_path / "tiny.gguf"
    weights.write_bytes(b"GGUF")
    monkeypatch.setattr(local_weights, "require", lambda: weights)
    embedded, by_path = resolve_model("local"), resolve_model(f"local/{weights}", capabilities=Capabilities(tools=False))
    assert isinstance(embedded, LocalProvider)
    assert isinstance(by_path, LocalProvider)
    assert (embedded.name, embedded.model) == ("local", "smollm2-135m-instruct")
    assert (by_path.name, by_path.model, by_path.capabilities.tools) == ("local", "tiny", False)
    monkeypatch.chdir(tmp_path)
    assert resolve_model("local/tiny.gguf").model == "tiny"
    assert "there is no model file missing.gguf" in refused("local/missing.gguf")


@pytest.mark.parametrize("option", [{"api_key": CANARY}, {"base_url": OWN_URL}, {"read_timeout": 3.0}])
def test_what_is_for_http_does_not_fit_it(option: dict[str, Any]) -> None:
    assert f"{next(iter(option))} is for services over HTTP" in refused("local", **option)


# Services of one's own

HOUSE = Preset("house", base_url="http://localhost:9000/v1", needs_key=False, aliases=("home",))


def test_a_registry_takes_services_of_ones_own_and_the_default_stays_as_it_is() -> None:
    registry = ModelRegistry()
    registry.register(HOUSE)
    assert registry.resolve("house/m").name == registry.resolve("home/m").name == "house"
    assert registry.presets == [*PRESETS, HOUSE]
    assert registry.find("bogus") is None
    assert "there is no service 'house'" in refused("house/m")


def test_a_name_that_is_taken_is_taken_over_only_on_purpose() -> None:
    registry = ModelRegistry([HOUSE])
    other = Preset("home", base_url="http://localhost:9001/v1", needs_key=False)
    with pytest.raises(ConfigurationError, match="there is a service 'home' already"):
        registry.register(other)
    registry.register(other, replace=True)
    assert registry.presets == [other]
    assert registry.find("house") is None
    assert registry.find("home") is other
