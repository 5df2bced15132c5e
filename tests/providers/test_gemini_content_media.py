"""Images, files and recordings in the words of the Gemini protocol."""

from __future__ import annotations

import pytest

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.gemini_content.media import audio_part, file_part, image_part
from ecs_agent.types import AudioPart, FilePart, ImagePart


def test_bytes_are_sent_inline() -> None:
    assert image_part(ImagePart(data=b"x", media_type="image/jpeg")) == {"inlineData": {"mimeType": "image/jpeg", "data": "eA=="}}
    assert audio_part(AudioPart(b"x", "mp3")) == {"inlineData": {"mimeType": "audio/mp3", "data": "eA=="}}
    assert file_part(FilePart(data=b"x", media_type="application/pdf")) == {"inlineData": {"mimeType": "application/pdf", "data": "eA=="}}


def test_the_kind_of_a_file_is_read_off_its_name() -> None:
    assert file_part(FilePart(data=b"x", filename="a.pdf"))["inlineData"]["mimeType"] == "application/pdf"
    assert file_part(FilePart(file_id="https://a.example/b.pdf?c=1")) == {
        "fileData": {"fileUri": "https://a.example/b.pdf?c=1", "mimeType": "application/pdf"}
    }
    assert file_part(FilePart(file_id="https://a.example/files/b")) == {"fileData": {"fileUri": "https://a.example/files/b"}}
    assert file_part(FilePart(file_id="u", media_type="video/mp4")) == {"fileData": {"fileUri": "u", "mimeType": "video/mp4"}}


@pytest.mark.parametrize(
    ("url", "kind"),
    [("https://a.example/b.jpg?c=d.gif", "image/jpeg"), ("http://a.example/b", "image/png"), ("gs://bucket/b.webp", "image/webp")],
)
def test_an_address_is_fetched_by_the_server(url: str, kind: str) -> None:
    assert image_part(ImagePart(url=url)) == {"fileData": {"fileUri": url, "mimeType": kind}}


def test_a_data_url_is_its_data() -> None:
    assert image_part(ImagePart(url="data:image/gif;base64,eA==")) == {"inlineData": {"mimeType": "image/gif", "data": "eA=="}}
    assert image_part(ImagePart(url="data:,x%20y")) == {"inlineData": {"mimeType": "image/png", "data": "eCB5"}}
    assert image_part(ImagePart(url="data:image/svg+xml,x,y")) == {"inlineData": {"mimeType": "image/svg+xml", "data": "eCx5"}}


@pytest.mark.parametrize("url", ["file:///etc/passwd", "", None, "a.png"])
def test_an_image_from_nowhere_is_refused(url: str | None) -> None:
    with pytest.raises(
        UnsupportedFeatureError,
        match=r"^the Gemini protocol takes an image by its bytes, or from a https, http, gs or data URL; give ImagePart\(data=…\)$",
    ):
        image_part(ImagePart(url=url))


def test_a_file_that_says_too_little_is_refused() -> None:
    unknown = r"^the Gemini protocol takes no file of unknown kind; give its media_type, as in FilePart\(media_type='application/pdf'\)$"
    with pytest.raises(UnsupportedFeatureError, match=unknown):
        file_part(FilePart(data=b"x"))
    with pytest.raises(
        UnsupportedFeatureError, match="^the file has neither data nor a file_id; give its bytes, or the uri that the Files API returned$"
    ):
        file_part(FilePart())
