"""Luminance and chrominance: the conversion, and the image datasets that it is applied to."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmark import Request, Samples, UserError
from tasks.cross_modal import cards, luma_chroma
from tests.data.test_readers import COLOURS, encoded, plain, write_parquet
from tests.tasks.conftest import pixel_statistics

MATRIX = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def converted(pixels: np.ndarray) -> np.ndarray:
    """Y, Cb, Cr [N, 3] of pixels [N, 3]."""
    luma, chroma = luma_chroma.luma_and_chroma(torch.from_numpy(pixels)[:, :, None, None])
    assert (luma.dtype, chroma.dtype) == (torch.uint8, torch.uint8)
    return torch.cat([luma, chroma], dim=1)[:, :, 0, 0].numpy()


def test_the_conversion_is_the_formula_rounded() -> None:
    draw = np.random.default_rng(0)
    corners = np.array(np.meshgrid([0, 255], [0, 255], [0, 255]), np.uint8).reshape(3, -1).T
    pixels = np.concatenate([corners, draw.integers(0, 256, (10_000, 3), dtype=np.uint8)])
    exact = np.clip(pixels @ MATRIX.T + [0, 128, 128], 0, 255)
    assert np.abs(converted(pixels) - exact).max() <= 0.502


def test_the_conversion_agrees_with_opencv() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5000, 3), dtype=np.uint8)
    theirs = cv2.cvtColor(pixels[None], cv2.COLOR_RGB2YCrCb)[0][:, [0, 2, 1]]
    assert np.abs(converted(pixels).astype(int) - theirs.astype(int)).max() <= 1


def test_grey_has_no_colour_and_keeps_its_brightness() -> None:
    levels = np.arange(256, dtype=np.uint8)
    result = converted(np.repeat(levels[:, None], 3, axis=1))
    assert (result[:, 0] == levels).all()
    assert (result[:, 1:] == 128).all()


def test_images_beyond_the_first_chunk_are_converted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.from_numpy(np.random.default_rng(2).integers(0, 256, (10, 3, 4, 5), dtype=np.uint8))
    whole = luma_chroma.luma_and_chroma(images)
    monkeypatch.setattr(luma_chroma, "CHUNK", 4)
    parts = luma_chroma.luma_and_chroma(images)
    assert all(a.equal(b) for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize("source", ["cifar10", "cifar100"])
def test_cifar_keeps_its_labels_and_loses_its_rgb(tmp_path: Path, source: str) -> None:
    labels = [i % 3 * (int(source[5:]) // 4) for i in range(12)]
    for split in ("train", "test"):
        write_parquet(tmp_path / source / f"{split}.parquet", plain(12)[0], labels)
    data = cards.cards()[f"luma_chroma_{source}"].load(Request(tmp_path))
    assert data.train.labels.tolist() == labels
    assert (len(data.classes), data.pad, data.flip, data.synthetic) == (int(source[5:]), 4, True, False)
    assert data.train.modalities.keys() == data.modalities.keys() == {"luma", "chroma"}
    for name, channels in (("luma", 1), ("chroma", 2)):
        assert data.train.modalities[name].shape == (12, channels, 32, 32)
        assert data.modalities[name].shape == (channels, 32, 32)
        assert cards.cards()[f"luma_chroma_{source}"].shapes[name] == (channels, 32, 32)
        assert len(data.modalities[name].mean) == len(data.modalities[name].std) == channels
    pixels = torch.cat([data.train.modalities[name][:, :, 9, 9] for name in ("luma", "chroma")], dim=1)
    assert (pixels.numpy() == converted(COLOURS)).all()


def test_a_folder_of_images_has_its_own_fingerprint(tmp_path: Path) -> None:
    for name, colour in (("a", COLOURS[0]), ("b", COLOURS[1])):
        (tmp_path / name).mkdir()
        for number in range(5):
            (tmp_path / name / f"{number}.png").write_bytes(encoded(colour))
    card = cards.cards()["luma_chroma_image_folder"]
    data = card.load(Request(tmp_path))
    assert (data.classes, len(data.train), len(data.test)) == (("a", "b"), 8, 2)
    assert card.load(Request(tmp_path)).fingerprint == data.fingerprint
    (tmp_path / "a" / "0.png").write_bytes(encoded(COLOURS[2]))
    assert card.load(Request(tmp_path)).fingerprint != data.fingerprint


@pytest.mark.parametrize("source", cards.LUMA_CHROMA)
def test_a_missing_source_is_told_what_is_expected(tmp_path: Path, source: str) -> None:
    card = cards.cards()[f"luma_chroma_{source}"]
    with pytest.raises(UserError, match=source if source != "image_folder" else "train/<class>"):
        card.load(Request(tmp_path))


@pytest.mark.slow
@pytest.mark.real_data
def test_the_constants_are_the_statistics_of_the_real_cifar10(real_cifar10: tuple[Samples, Samples]) -> None:
    parts = luma_chroma.luma_and_chroma(real_cifar10[0].modalities["rgb"])
    known = (luma_chroma.LUMA_STATISTICS, luma_chroma.CHROMA_STATISTICS)
    for pixels, (mean, std) in zip(parts, known, strict=True):
        found = pixel_statistics(pixels)
        assert found[0] == pytest.approx(mean, abs=2e-4)
        assert found[1] == pytest.approx(std, abs=2e-4)
