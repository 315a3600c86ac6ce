"""MAT files are checked before scipy reads them: sound ones are unchanged, damaged ones never reach it."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from benchmark.data.mat_files import HEADER, sound_mat

CONTENT = {
    "bytes": np.arange(6, dtype=np.uint8).reshape(2, 3),
    "cube": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "complex": np.array([[1 + 2j, 3]]),
    "truth": np.array([[True, False]]),
    "none": np.empty((0, 3)),
    "text": "größer",
    "texts": np.array(["one", "two"]),
    "cell": np.array(["a", np.arange(3), "bcd"], object),
    "struct": {"number": 3.5, "names": np.array(["x", "yz"], object), "deeper": {"x": np.int16(4)}},
}


@pytest.mark.parametrize("compressed", [True, False])
def test_sound_files_come_back_as_scipy_reads_them(tmp_path: Path, compressed: bool) -> None:
    file = tmp_path / "a.mat"
    savemat(file, CONTENT, do_compression=compressed)
    found, expected = (loadmat(source, simplify_cells=True) for source in (sound_mat(file), file))
    for found_one, one in ((found, expected), (found["struct"], expected["struct"])):
        assert found_one.keys() == one.keys()
    for name in CONTENT.keys() - {"struct", "cell"}:
        np.testing.assert_array_equal(found[name], expected[name])
    assert str(found["cell"]) == str(expected["cell"])
    assert found["struct"]["deeper"] == {"x": 4}


def flipped(content: bytes, draw: random.Random) -> bytes:
    """A few bits flipped, most of them where sizes and types stand."""
    altered = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        place = HEADER + draw.randrange(len(content) - HEADER)
        altered[place - place % 8 + draw.choice((0, 1, 2, 3, 4, 7))] ^= 1 << draw.randrange(8)
    return bytes(altered)


@pytest.mark.timeout(60)
def test_flipped_bits_of_types_and_sizes_neither_crash_nor_hang(tmp_path: Path) -> None:
    """Without the check scipy ends the process within a few hundred of these."""
    file, draw = tmp_path / "a.mat", random.Random(0)
    savemat(file, CONTENT)
    content = file.read_bytes()
    refused = 0
    for _ in range(1500):
        file.write_bytes(flipped(content, draw))
        try:
            loadmat(sound_mat(file), simplify_cells=True)
        except (ValueError, TypeError, KeyError, OSError, zlib.error):
            refused += 1
    assert 500 < refused < 1500


def test_what_is_cut_off_or_of_another_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.mat"
    for compressed in (True, False):
        savemat(file, CONTENT, do_compression=compressed)
        content = file.read_bytes()
        for length in (0, 60, len(content) // 2, len(content) - 1):
            file.write_bytes(content[:length])
            with pytest.raises((ValueError, zlib.error)):
                sound_mat(file)
    savemat(file, {"x": np.arange(3)}, format="4")
    with pytest.raises(ValueError, match="no version from 5 to 7"):
        sound_mat(file)


def test_a_variable_that_would_unpack_beyond_all_bounds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.data.mat_files.MAXIMUM_BYTES", 100_000)
    stream = io.BytesIO()
    savemat(stream, {"x": np.zeros(1)})
    packed = zlib.compress(bytes(10_000_000))
    file = tmp_path / "a.mat"
    file.write_bytes(stream.getvalue()[:HEADER] + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(ValueError, match="cut off"):
        sound_mat(file)
