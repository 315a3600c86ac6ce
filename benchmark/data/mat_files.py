"""Checks a MAT file of version 5 to 7 before scipy reads it, whom a damaged one may crash.

Layout: "MAT-File Format", The MathWorks, 2019, chapter 1.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from pathlib import Path

HEADER = 128
LITTLE_ENDIAN = b"\x00\x01IM"
MAXIMUM_BYTES = 2**30
"""Of a file's variables when they are decompressed."""

ITEM_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
"""Bytes of a number by the code of its type on disk."""

INT8, INT32, UINT32, MATRIX, COMPRESSED, UTF8, UTF16, UTF32 = 1, 5, 6, 14, 15, 16, 17, 18
CELL, STRUCT, CHARACTERS, NUMBERS = 1, 2, 4, range(6, 16)
COMPLEX = 1 << 11
DEEPEST = 16

Element = tuple[int, memoryview]
"""The code of its type, and its content."""


def sound_mat(file: Path) -> io.BytesIO:
    """The decompressed content of a MAT file, all of it well-formed: numbers, strings, cells and structs.

    Raises ValueError, OSError or zlib.error.
    """
    if file.stat().st_size > MAXIMUM_BYTES:
        raise ValueError("it is too large")
    content = file.read_bytes()
    if content[HEADER - 4 : HEADER] != LITTLE_ENDIAN:
        raise ValueError("it is of no version from 5 to 7")
    plain = io.BytesIO()
    plain.write(content[:HEADER])
    rest = memoryview(content)[HEADER:]
    while rest:
        (kind, inner), end = _element(rest)
        element = _decompressed(inner) if kind == COMPRESSED else rest[:end]
        (kind, inner), length = _element(memoryview(element))
        if kind != MATRIX or length != len(element):
            raise ValueError("a variable is damaged")
        _check_matrix(inner, 0)
        plain.write(element)
        if plain.tell() > MAXIMUM_BYTES:
            raise ValueError("it is too large")
        rest = rest[end:]
    plain.seek(0)
    return plain


def _decompressed(content: memoryview) -> bytes:
    stream = zlib.decompressobj()
    plain = stream.decompress(content, MAXIMUM_BYTES)
    if not stream.eof:
        raise ValueError("a compressed variable is cut off")
    return plain


def _element(content: memoryview) -> tuple[Element, int]:
    """The first element, and where the next one begins."""
    if len(content) < 8:
        raise ValueError("it is cut off")
    kind, length = struct.unpack_from("<II", content)
    if kind >> 16:  # a short one lies in its own tag
        kind, length, start, end = kind & 0xFFFF, kind >> 16, 4, 8
        if length > 4:
            raise ValueError("a short element is damaged")
    else:
        start, end = 8, 8 + length
        if kind != COMPRESSED:
            end += -length % 8
    if end > len(content):
        raise ValueError("it is cut off")
    return (kind, content[start : start + length]), end


def _next(content: memoryview, *kinds: int) -> tuple[Element, memoryview]:
    """The first element, which must be of one of these types, and what follows."""
    element, end = _element(content)
    if element[0] not in kinds:
        raise ValueError(f"it holds type {element[0]} where {kinds[0]} is expected")
    return element, content[end:]


def _check_matrix(content: memoryview, depth: int) -> None:
    if not content and depth:
        return
    if depth > DEEPEST:
        raise ValueError("its variables are nested too deeply")
    (_, flags), content = _next(content, UINT32)
    (_, sizes), content = _next(content, INT32)
    (_, name), content = _next(content, INT8)
    if len(flags) != 8 or len(sizes) % 4 or not 8 <= len(sizes) <= 128:
        raise ValueError("a variable's header is damaged")
    bytes(name).decode("ascii")
    shape = struct.unpack(f"<{len(sizes) // 4}i", sizes)
    count = math.prod(shape)
    if min(shape) < 0 or count > MAXIMUM_BYTES:
        raise ValueError(f"a variable has the shape {shape}")
    (state,) = struct.unpack_from("<I", flags)
    kind = state & 0xFF
    if kind in NUMBERS:
        for _ in range(2 if state & COMPLEX else 1):
            content = _check_numbers(content, count)
    elif kind == CHARACTERS:
        content = _check_text(content, count)
    elif kind in (CELL, STRUCT):
        fields = 1
        if kind == STRUCT:
            fields, content = _fields(content)
        for _ in range(count * fields):
            (_, inner), content = _next(content, MATRIX)
            _check_matrix(inner, depth + 1)
    else:
        raise ValueError(f"a variable is of class {kind}: neither numbers, strings, cells nor a struct")
    if content:
        raise ValueError("a variable is longer than it states")


def _check_numbers(content: memoryview, count: int) -> memoryview:
    (kind, values), content = _next(content, *ITEM_SIZES)
    if len(values) != count * ITEM_SIZES[kind]:
        raise ValueError(f"a variable holds {len(values)} bytes, {count} numbers are expected")
    return content


def _check_text(content: memoryview, count: int) -> memoryview:
    encodings = {
        UTF8: "utf-8",
        UTF16: "utf-16-le",
        UTF32: "utf-32-le",
        1: "ascii",
        2: "ascii",
        4: "utf-16-le",
    }
    (kind, letters), content = _next(content, *encodings)
    if len(bytes(letters).decode(encodings[kind])) != count:
        raise ValueError(f"a string has not the {count} letters that it states")
    return content


def _fields(content: memoryview) -> tuple[int, memoryview]:
    """How many fields a struct has, and what follows their names."""
    (_, stated), content = _next(content, INT32)
    (_, names), content = _next(content, INT8)
    if len(stated) != 4:
        raise ValueError("a struct is damaged")
    (length,) = struct.unpack("<i", stated)
    if not 0 < length <= 64 or len(names) % length:
        raise ValueError("the names of a struct are damaged")
    bytes(names).decode("ascii")
    return len(names) // length, content
