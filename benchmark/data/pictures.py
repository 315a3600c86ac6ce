"""Decodes single pictures of whatever kind, none before its size is known to be one that memory can hold."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from PIL import Image

from benchmark.data.loading import Unusable
from benchmark.data.locating import irregular

MAXIMUM_PIXELS = 2**26
"""8,192 x 8,192. A megabyte may state a hundred times as many, and several are decoded side by side."""

MAXIMUM_BYTES = 8 * MAXIMUM_PIXELS
"""Of a file: what as many pixels of four channels with 16 bits take uncompressed."""

PNG = b"\x89PNG\r\n\x1a\n"
PNG_HEADER = PNG + b"\0\0\0\x0dIHDR"
PNG_CHUNK, PNG_SIZE, PNG_CHECKSUM = struct.Struct(">I4s"), struct.Struct(">II"), 4
"""A chunk's length and name; columns and rows, of which the first chunk's content begins; bytes behind it."""

ANIMATION = (b"acTL", b"fcTL", b"fdAT")
KINDS = ("PNG", "JPEG", "BMP", "DIB", "WEBP", "PPM", "TIFF")
"""What is decoded, as Pillow calls it: the kinds that datasets come in, whatever else OpenCV may know."""

COLOUR = cv2.IMREAD_COLOR

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_picture(file: Path, flags: int = COLOUR) -> np.ndarray:
    """The picture in a file as `decode_picture` gives it; raises Unusable."""
    return decode_picture(file, picture_bytes(file), flags)


def picture_bytes(file: Path) -> bytes:
    """The content of a file that may be a picture; raises Unusable."""
    if problem := irregular(file):
        raise Unusable(file, problem)
    try:
        if (size := file.stat().st_size) > MAXIMUM_BYTES:
            raise Unusable(file, f"is too large, {size:,} bytes: up to {MAXIMUM_BYTES:,} are read")
        return file.read_bytes()
    except OSError as error:
        raise Unusable(file, f"can't be read ({error.strerror})") from error


def decode_picture(file: object, content: bytes | None, flags: int = COLOUR) -> np.ndarray:
    """A picture as OpenCV decodes it under `flags`: colours are BGR, [H, W, 3] uint8 unless `flags` say
    otherwise; of an animation the first frame.

    Raises Unusable that names `file` where it can't be decoded, or has more than MAXIMUM_PIXELS.
    """
    check_header(file, content)
    if content is not None and content.startswith(PNG):
        content = _still(content)
    if content is None:
        raise Unusable(file, "can't be decoded")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise Unusable(file, "can't be decoded")
    return image


def check_header(file: object, content: bytes | None) -> None:
    """Raises Unusable that names `file` where the header is no picture's, or one of too many pixels."""
    bound = f"pictures of up to {MAXIMUM_PIXELS:,} pixels are decoded"
    try:
        size = _stated_size(content) if content else None
    except Image.DecompressionBombError as error:
        raise Unusable(file, f"is too large: {bound}") from error
    if size is None:
        raise Unusable(file, "can't be decoded")
    if size[0] * size[1] > MAXIMUM_PIXELS:
        raise Unusable(file, f"is too large, {size[0]:,} x {size[1]:,} pixels: {bound}")


def in_threads(
    decode: Callable[[Item], Result], items: Iterable[Item]
) -> Generator[Result | Unusable, None, None]:
    """What `decode` makes of every item, in their order; the `Unusable` that it raises stands in its place.

    Decoders keep their remarks to themselves. A consumer that stops early ends the decoding.
    """

    def attempt(item: Item) -> Result | Unusable:
        try:
            return decode(item)
        except Unusable as problem:
            return problem

    with _quiet(), ThreadPoolExecutor() as pool:
        try:
            yield from pool.map(attempt, items)
        finally:
            pool.shutdown(cancel_futures=True)


def _stated_size(content: bytes) -> tuple[int, int] | None:
    """Columns and rows by the header alone; None where it is none that Pillow knows.

    Raises DecompressionBombError beyond Pillow's own bound, which is higher than ours.
    """
    # Pillow takes longer over the header of a small PNG than OpenCV over all of it.
    if content.startswith(PNG_HEADER):
        return PNG_SIZE.unpack_from(content, len(PNG_HEADER)) if len(content) > len(PNG_HEADER) + 8 else None
    try:
        with Image.open(io.BytesIO(content), formats=KINDS) as picture:
            return picture.size
    except Image.DecompressionBombError:
        raise
    # Damaged headers surface as nearly any exception: struct.error, SyntaxError, ValueError, OSError.
    except Exception:
        return None


def _still(content: bytes) -> bytes | None:
    """A PNG without its animation, which is then the first frame; None where a chunk is longer than the file.

    OpenCV 5 would take the memory that such a chunk states, up to 4 GB, before it finds that out; damaged
    animations make it free memory twice.
    """
    kept, place, animated = [PNG], len(PNG), False
    while place + PNG_CHUNK.size <= len(content):
        length, name = PNG_CHUNK.unpack_from(content, place)
        end = place + PNG_CHUNK.size + length + PNG_CHECKSUM
        if end > len(content):
            return None
        if name in ANIMATION:
            animated = True
        else:
            kept.append(content[place:end])
        if name == b"IEND":
            return b"".join(kept) if animated else content
        place = end
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """No remarks of OpenCV and of Pillow: a bad file is named by us."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        cv2.utils.logging.setLogLevel(level)
