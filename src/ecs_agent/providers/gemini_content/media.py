"""Images, files and recordings in the words of the Gemini protocol: their bytes, or where the server finds them."""

from __future__ import annotations

import mimetypes
from base64 import b64encode
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.types import AudioPart, FilePart, ImagePart, JsonObject

_UNKNOWN: Final = "application/octet-stream"


def image_part(part: ImagePart) -> JsonObject:
    """An image by its bytes, or by its address, from which the server fetches it
    (https://ai.google.dev/gemini-api/docs/file-input-methods).

    Raises:
        UnsupportedFeatureError: its address is none that a server can fetch from.
    """
    if part.data is not None:
        return _inline(part.media_type, part.data)
    url = part.url or ""
    if url.startswith("data:"):
        return _from_data_url(url, part.media_type)
    if not url.startswith(("https://", "http://", "gs://")):
        raise UnsupportedFeatureError(
            "the Gemini protocol takes an image by its bytes, or from a https, http, gs or data URL; give ImagePart(data=…)"
        )
    return {"fileData": {"fileUri": url, "mimeType": _guessed(urlsplit(url).path) or part.media_type}}


def file_part(part: FilePart) -> JsonObject:
    """A file by its bytes, or by the URI under which the Files API or a public server keeps it.

    Raises:
        UnsupportedFeatureError: it has neither, or bytes of which nobody says what they are.
    """
    known = part.media_type if part.media_type != _UNKNOWN else _guessed(part.filename or urlsplit(part.file_id or "").path)
    if part.data is not None and known is not None:
        return _inline(known, part.data)
    if part.data is not None:
        raise UnsupportedFeatureError(
            "the Gemini protocol takes no file of unknown kind; give its media_type, as in FilePart(media_type='application/pdf')"
        )
    if not part.file_id:
        raise UnsupportedFeatureError("the file has neither data nor a file_id; give its bytes, or the uri that the Files API returned")
    return {"fileData": {"fileUri": part.file_id, "mimeType": known} if known is not None else {"fileUri": part.file_id}}


def audio_part(part: AudioPart) -> JsonObject:
    """Recorded audio by its bytes."""
    return _inline(f"audio/{part.format}", part.data)


def _inline(kind: str, data: bytes) -> JsonObject:
    return {"inlineData": {"mimeType": kind, "data": b64encode(data).decode()}}


def _from_data_url(url: str, kind: str) -> JsonObject:
    head, _, body = url.removeprefix("data:").partition(",")
    named, *rest = head.split(";")
    if "base64" in rest:
        return {"inlineData": {"mimeType": named or kind, "data": body}}
    return _inline(named or kind, unquote_to_bytes(body))


def _guessed(name: str) -> str | None:
    return mimetypes.guess_type(name)[0]
