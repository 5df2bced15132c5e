"""What somebody may do wrong on the first day is told in one sentence, which says what to do and holds no key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.providers.test_option_values import HI, PROVIDERS, City

from ecs_agent import World, spawn_agent
from ecs_agent.errors import ConfigurationError
from ecs_agent.providers import (
    AnthropicProvider,
    CachedProvider,
    CallHooks,
    FakeProvider,
    FallbackProvider,
    GeminiProvider,
    InstrumentedProvider,
    OpenAIEmbeddingProvider,
    OpenAIProvider,
    OpenAIResponsesProvider,
    RetryProvider,
    Secret,
    resolve_model,
    stream_object,
)
from ecs_agent.testing import CANARY, ScriptedTransport, run
from ecs_agent.types import FilePart, ImagePart, Message, TextPart

FAKE = FakeProvider(["never said"])


def any_value(value: object) -> Any:
    """What no type checker would let pass."""
    return value


def told(wrong: Callable[[], object], kind: type[Exception] = TypeError) -> str:
    with pytest.raises(kind) as caught:
        wrong()
    said = str(caught.value)
    assert CANARY not in said
    assert "\n" not in said
    return said


# Who is asked


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        (None, "a NoneType is no provider: it has no method complete(); give one, such as OpenAIProvider(model='…')"),
        (OpenAIProvider, "the class OpenAIProvider is no provider; give an instance of it: OpenAIProvider(…)"),
    ],
)
def test_what_is_no_provider_is_refused_where_it_is_given(provider: Any, said: str) -> None:
    assert told(lambda: spawn_agent(World(), provider)) == said
    assert told(lambda: RetryProvider(provider)) == said
    assert told(lambda: FallbackProvider([FAKE, provider])) == said
    assert told(lambda: stream_object(provider, HI, City)) == said


def test_a_name_in_place_of_a_provider_is_told_how_to_become_one() -> None:
    assert told(lambda: CachedProvider(any_value("openai/gpt-5"))).endswith("give resolve_model('service/model')")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("anthropic", "'anthropic' names a service and none of its models; write it as 'service/model': 'anthropic/…'"),
        ("openai/", "'openai/' names a service and none of its models; write it as 'service/model': 'openai/…'"),
        ("claude-sonnet-4-5", "write it as 'service/model', as in 'anthropic/claude-sonnet-4-5'"),
        ("gpt-5-mini", "as in 'openai/gpt-5-mini'"),
        ("gemini-2.5-flash", "as in 'gemini/gemini-2.5-flash'"),
        ("groq:llama", "as in 'groq/llama'"),
        ("llama3:8b", "as in 'openai/gpt-5' or 'ollama/qwen3'"),
        ("/gpt-5", "as in 'openai/gpt-5' or 'ollama/qwen3'"),
    ],
)
def test_a_model_without_its_service_is_told_what_it_may_be(model: str, said: str) -> None:
    assert told(lambda: resolve_model(model), ConfigurationError).endswith(said)


def test_a_model_that_the_environment_did_not_name_is_no_text() -> None:
    assert told(lambda: resolve_model(any_value(None))).startswith("the model is a NoneType; give a text, 'service/model'")


def test_a_key_is_a_text() -> None:
    assert told(lambda: Secret(any_value(CANARY.encode()))) == "the API key is a bytes; give a text"


# Options of providers


@pytest.mark.parametrize("kind", [*PROVIDERS, OpenAIEmbeddingProvider])
@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("temperature", "has no option 'temperature'; it is an option of a request: give it to complete(…, temperature=…), or to spawn_agent"),
        ("timeout", "has no option 'timeout'; give read_timeout (silence) or total_timeout, in seconds"),
        ("max_retries", "has no option 'max_retries'; put a RetryProvider before it"),
        ("read_timout", "has no option 'read_timout'; did you mean 'read_timeout'?"),
        ("xyzzy", "has no option 'xyzzy'; beside its own arguments it has allow_http, connect_timeout"),
    ],
)
def test_an_option_that_a_provider_does_not_have_is_told_with_what_to_give(kind: Any, option: str, said: str) -> None:
    assert told(lambda: kind("a-key", model="m", **{option: 1})).startswith(f"{kind.__name__} {said}")


def test_a_provider_without_sdk_clients_says_so() -> None:
    assert told(lambda: GeminiProvider("a-key", model="m", client=object())) == (  # type: ignore[call-arg]
        "GeminiProvider has no option 'client'; this protocol takes no client of an SDK; leave it out"
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:11434/v1", "base_url 'localhost:11434/v1' is no URL; write it as http://localhost:11434/v1"),
        ("api.openai.com/v1", "base_url 'api.openai.com/v1' is no URL; write it as https://api.openai.com/v1"),
        ("https://exa mple.com", "base_url 'https://exa mple.com' is no URL; it looks like https://api.example.com/v1"),
        ("nonsense", "base_url 'nonsense' is no URL; it looks like https://api.example.com/v1"),
        (CANARY, "base_url is no URL; it looks like https://api.example.com/v1"),
        (f"{CANARY}.{CANARY}", "base_url is no URL; it looks like https://api.example.com/v1"),
    ],
)
@pytest.mark.parametrize("kind", PROVIDERS)
def test_an_address_that_is_none_is_told_without_a_key_in_its_place(kind: Any, url: str, said: str) -> None:
    assert told(lambda: kind(CANARY, url, "m"), ConfigurationError) == said


@pytest.mark.parametrize(
    ("kind", "url", "path"),
    [
        (OpenAIProvider, " https://api.example.com/v1/chat/completions/ ", "/v1/chat/completions"),
        (OpenAIResponsesProvider, "https://api.example.com/v1/responses ", "/v1/responses"),
        (AnthropicProvider, " https://api.example.com/v1/messages", "/v1/messages"),
        (GeminiProvider, " https://api.example.com/v1beta/ ", "/v1beta/models/m:generateContent"),
    ],
)
def test_an_address_may_be_copied_with_blanks_and_with_all_of_its_path(kind: Any, url: str, path: str) -> None:
    server = ScriptedTransport(["Hello."])

    async def main() -> None:
        await kind("a-key", url, "m", transport=server).complete(HI)

    run(main)
    assert server.requests[0].path == path


# Wrappers


def test_wrappers_refuse_what_would_do_nothing() -> None:
    assert told(lambda: CachedProvider(FAKE, store=any_value("cache.db"))).startswith("store is a str; give a mapping of text to bytes")
    assert told(lambda: InstrumentedProvider(FAKE, any_value(print))).startswith("hooks is a builtin_function_or_method; give an instance")
    assert told(lambda: InstrumentedProvider(FAKE, any_value(CallHooks))).startswith("hooks is the class CallHooks; give an instance")
    assert told(lambda: FallbackProvider(any_value(FAKE))) == "providers is one FakeProvider; give a list of providers: FallbackProvider([…])"
    assert told(lambda: FallbackProvider([FAKE], on=any_value(["servr"])), ValueError).startswith("on is 'servr'; give a list of kinds of failure")
    assert told(lambda: FallbackProvider([FAKE], on=any_value("server")), ValueError).startswith("on is 'server'; give a list of kinds of failure")


# Messages


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"text": "Hello?"}, "content is a dict; give a text, or a list of parts such as [TextPart('…'), ImagePart(url='…')]"),
        (5, "content is a int; give a text, or a list of parts such as [TextPart('…'), ImagePart(url='…')]"),
        ([{"type": "text"}], "a message holds a dict; give a text, or a list of parts such as [TextPart('…'), ImagePart(url='…')]"),
        (["Hello?"], "a message holds a str; give a text, or a list of parts such as [TextPart('…'), ImagePart(url='…')]"),
    ],
)
def test_a_message_does_not_take_what_it_would_lose(content: Any, said: str) -> None:
    assert told(lambda: Message("user", content)) == said


@pytest.mark.parametrize(
    ("part", "kind", "said"),
    [
        (ImagePart(), ValueError, "an ImagePart has neither url nor data; give one of them: "),
        (ImagePart("https://a.example/b.png", b"x"), ValueError, "an ImagePart has both url and data; give one of them: "),
        (ImagePart(data=any_value("aGVsbG8=")), TypeError, "ImagePart.data is a str; give the bytes as they are in the file, not as text"),
        (FilePart(), ValueError, "a FilePart has neither data nor file_id; give its bytes, or the id under which the server keeps it"),
    ],
)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_image_or_a_file_that_is_nowhere_is_not_sent(provider: Any, part: Any, kind: type[Exception], said: str) -> None:
    server = ScriptedTransport(["never said"])

    async def main() -> None:
        await provider("a-key", model="m", transport=server).complete([Message("user", [TextPart("Look."), part])])

    assert told(lambda: run(main), kind).startswith(said)
    assert server.requests == []


# Clients of SDKs


class AsyncOpenAI:
    """Has the name of OpenAI's client."""


class AsyncAzureOpenAI(AsyncOpenAI):
    """Derived from it."""


class AsyncAnthropic:
    """Has the name of Anthropic's client."""


@pytest.mark.parametrize(
    ("kind", "client", "said"),
    [
        (AnthropicProvider, AsyncOpenAI(), "the class AsyncOpenAI, whose server speaks another protocol; give it to OpenAIProvider or OpenAIResp"),
        (AnthropicProvider, AsyncAzureOpenAI(), "the class AsyncAzureOpenAI, whose server speaks another protocol; give it to OpenAIProvider or"),
        (OpenAIProvider, AsyncAnthropic(), "the class AsyncAnthropic, whose server speaks another protocol; give it to AnthropicProvider"),
        (OpenAIResponsesProvider, AsyncAnthropic(), "the class AsyncAnthropic, whose server speaks another protocol; give it to AnthropicProvider"),
    ],
)
def test_a_client_of_another_vendor_is_told_whose_it_is(kind: Any, client: Any, said: str) -> None:
    assert said in told(lambda: kind(client=client, model="m"), ConfigurationError)
