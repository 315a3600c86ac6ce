"""t-SNE (van der Maaten and Hinton, JMLR 2008), exact: faster than trees for a map's few samples."""

from __future__ import annotations

import numpy as np

RATE = 50.0
PHASES = ((250, 12.0, 0.5), (50, 1.0, 0.8))
"""Steps, exaggeration of the affinities and momentum; these and the rate are scikit-learn's."""


def planar(embedding: np.ndarray) -> np.ndarray:
    """The t-SNE [N, 2] of an embedding [N, D] that has some spread, the same on every call."""
    values = embedding.astype(np.float64)
    values = (values - values.mean(0)) / values.std()
    count = len(values)
    near = _affinities(_squared_distances(values), perplexity=min(30.0, (count - 1) / 3))
    places = _principal_axes(values)
    for steps, exaggeration, momentum in PHASES:
        step, gains = np.zeros_like(places), 1.0
        for _ in range(steps):
            closeness = 1 / (1 + _squared_distances(places))
            np.fill_diagonal(closeness, 0)
            pull = (exaggeration * near - closeness / closeness.sum()) * closeness
            gradient = 4 * (pull.sum(1, keepdims=True) * places - pull @ places)
            gains = np.maximum(np.where(step * gradient < 0, gains + 0.2, gains * 0.8), 0.01)
            step = momentum * step - RATE * gains * gradient
            places = places + step
    return places


def _principal_axes(values: np.ndarray) -> np.ndarray:
    """The first two principal components [N, 2], small; a little noise parts samples that are equal."""
    left, size, _ = np.linalg.svd(values, full_matrices=False)
    scores = (left * size)[:, :2]
    start = np.random.default_rng(0).normal(scale=1e-6, size=(len(values), 2))
    start[:, : scores.shape[1]] += 1e-4 * scores / scores[:, 0].std()
    return start


def _squared_distances(points: np.ndarray) -> np.ndarray:
    """[N, N]"""
    squares = (points**2).sum(1)
    return np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0)


def _affinities(distances: np.ndarray, perplexity: float) -> np.ndarray:
    """Symmetric and of sum 1 [N, N]: Gaussians, each as wide as gives its sample that perplexity."""
    others = distances / distances.mean()
    np.fill_diagonal(others, np.inf)
    low, high = np.full(len(others), -30.0), np.full(len(others), 30.0)  # the logarithm of 1 / width
    for _ in range(40):
        middle = (low + high) / 2
        near = np.exp(-np.exp(middle)[:, None] * (others - others.min(1, keepdims=True)))
        near /= near.sum(1, keepdims=True)
        entropy = -(near * np.log(np.maximum(near, 1e-300))).sum(1)
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    return (near + near.T) / (2 * len(near))
