"""Samples in a file of the cache: read back as they were, noticed when they were altered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark import Request, Samples, Stored, UserError
from benchmark.data.kept_samples import KeptSamples, Part, fingerprint_on_disk, fits, kept_on_disk
from benchmark.data.loading import Report
from benchmark.data.readers import fingerprint

PARTS = (Part("image", (3, 4, 5), "uint8"), Part("depth", (1, 4), "uint16"))
BOTH = frozenset({"image", "depth"})
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (6, 3, 4, 5), np.uint8)
DEPTHS = RANDOM.integers(0, 65536, (6, 1, 4), np.uint16)


class Maker:
    """Writes six samples, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, report: Report, write) -> dict[str, np.ndarray]:
        self.calls += 1
        for image, depth in zip(IMAGES, DEPTHS, strict=True):
            write({"depth": depth, "image": image})
        return {"names": np.array(list("abcdef"))}


def keep(folder: Path, make: Maker, said: list[str] | None = None) -> KeptSamples:
    request = Request(cache=folder, say=(said if said is not None else []).append)
    source, arrays = kept_on_disk(request, "pairs", {"version": 1}, PARTS, make)
    assert arrays["names"].tolist() == list("abcdef")
    return source


def test_samples_come_back_part_by_part_and_are_not_made_again(tmp_path: Path) -> None:
    make = Maker()
    for _ in range(2):
        source = keep(tmp_path, make)
        for row in (5, 0, 3):
            read = source.read(row, BOTH, None)
            assert np.array_equal(read["image"], IMAGES[row])
            assert np.array_equal(read["depth"].numpy(), DEPTHS[row])
        assert source.read(1, frozenset({"depth"}), None).keys() == {"depth"}
    assert make.calls == 1
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".npz", ".samples"]


@pytest.mark.parametrize("damage", ["gone", "short", "long", "index"])
def test_what_is_not_whole_is_made_again(damage: str, tmp_path: Path) -> None:
    make, said = Maker(), []
    source = keep(tmp_path, make)
    if damage == "gone":
        source.file.unlink()
    elif damage == "index":
        source.file.with_suffix(".npz").write_bytes(b"nothing")
    else:
        content = source.file.read_bytes()
        source.file.write_bytes(content[:-1] if damage == "short" else content + b"0")
    assert np.array_equal(keep(tmp_path, make, said).read(5, BOTH, None)["image"], IMAGES[5])
    assert make.calls == 2


def test_an_altered_sample_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    source = keep(tmp_path, Maker())
    content = bytearray(source.file.read_bytes())
    content[2 * (60 + 8) + 7] ^= 1
    source.file.write_bytes(content)
    source.read(1, BOTH, None)
    source.read(2, frozenset({"depth"}), None)
    with pytest.raises(UserError, match=r"\.samples: sample 2 is not what was written: delete the file"):
        source.read(2, BOTH, None)
    source.file.unlink()
    with pytest.raises(UserError, match=r"can't be read .*give the same command again"):
        source.read(0, BOTH, None)


def test_a_cache_that_takes_nothing_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"can't be written .*make room, or raise --memory-gb"):
        keep(tmp_path / "file" / "cache", Maker())
    with pytest.raises(UserError, match="needs a cache"):
        kept_on_disk(Request(), "pairs", {}, PARTS, Maker())


def test_a_reader_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(report: Report, write) -> dict[str, np.ndarray]:
        write({"image": IMAGES[0], "depth": DEPTHS[0]})
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        kept_on_disk(Request(cache=tmp_path), "pairs", {}, PARTS, fail)
    assert list(tmp_path.iterdir()) == []


def test_their_content_is_that_of_the_same_samples_in_memory(tmp_path: Path) -> None:
    table = (np.arange(65536) // 3).astype(np.int16)
    source = keep(tmp_path, Maker())
    source = KeptSamples(source.file, PARTS, source.checksums, {"depth": table})
    labels, rows, order = torch.arange(4), torch.tensor([4, 0, 5, 1]), ("image", "depth")
    held = {"image": torch.from_numpy(IMAGES)[rows], "depth": torch.from_numpy(table[DEPTHS])[rows]}
    stored = Stored(source, BOTH, rows)
    request = Request(cache=tmp_path, say=print)
    expected = fingerprint({"train": Samples(held, labels)})
    for _ in range(2):
        assert fingerprint_on_disk(request, "pairs", {"train": Samples(stored, labels)}, order) == expected
    others = Samples(stored.at(torch.tensor([1, 0, 2, 3])), labels)
    assert fingerprint_on_disk(request, "pairs", {"train": others}, order) != expected


def test_what_fits_is_counted_in_bytes() -> None:
    assert PARTS[0].size + PARTS[1].size == 68
    assert fits(Request(memory_gb=680 / 2**30), 10, PARTS)
    assert not fits(Request(memory_gb=679 / 2**30), 10, PARTS)
