"""The embedded figures are the same everywhere, balanced, and fair under the augmentation."""

from __future__ import annotations

import hashlib

import numpy as np

from tasks.synthetic.shapes import CLASSES, FIGURES, SIDE, shapes

FROZEN = "3f05a2fd10202436"
"""SHA-256 over images and labels of 600 samples; it changes only together with every number made on them."""


def test_the_figures_are_frozen() -> None:
    images, labels = shapes(600, seed=2026)
    assert hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()[:16] == FROZEN


def test_the_same_seed_draws_the_same_samples_and_another_seed_others() -> None:
    first, again, other = shapes(24, seed=1), shapes(24, seed=1), shapes(24, seed=2)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_images_are_rgb_bytes_with_some_contrast() -> None:
    images, labels = shapes(24, seed=0)
    assert images.shape == (24, 3, SIDE, SIDE)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert images.reshape(24, -1).std(axis=1).min() > 10


def test_classes_are_equally_frequent() -> None:
    _, labels = shapes(20 * len(CLASSES), seed=0)
    assert np.bincount(labels).tolist() == [20] * len(CLASSES)


def test_no_two_samples_are_alike() -> None:
    images, _ = shapes(600, seed=2026)
    assert len(np.unique(images.reshape(600, -1), axis=0)) == 600


def test_every_figure_is_its_own_mirror_image() -> None:
    for name, contours in FIGURES.items():
        for contour in contours:
            mirrored = contour * [-1, 1]
            distance = np.linalg.norm(contour[:, None] - mirrored[None], axis=2).min(axis=1)
            assert distance.max() < 1e-9, name
