"""Whether the parts of a message hold what a server could be shown."""

from __future__ import annotations

from ecs_agent.types import AudioPart, FilePart, ImagePart, Message


def check_parts(message: Message) -> None:
    """Whether its images and files are somewhere, and in one place.

    Raises:
        ValueError: an image or a file is nowhere, or an image is in two places.
        TypeError: bytes are given as something else.
    """
    for part in message.parts:
        if not isinstance(part, (ImagePart, FilePart, AudioPart)):
            continue
        kind = type(part).__name__
        data: object = part.data
        if data is not None and not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"{kind}.data is a {type(data).__name__}; give the bytes as they are in the file, not as text")
        if isinstance(part, ImagePart) and (part.url is None) == (data is None):
            has = "neither url nor data" if data is None else "both url and data"
            raise ValueError(f"an ImagePart has {has}; give one of them: ImagePart(url='https://…') or ImagePart(data=…, media_type='image/png')")
        if isinstance(part, FilePart) and part.file_id is None and data is None:
            raise ValueError("a FilePart has neither data nor file_id; give its bytes, or the id under which the server keeps it")
