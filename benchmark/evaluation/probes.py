"""What frozen features are worth: linear, nearest-neighbour and few-shot classifiers on top of them.

The same protocol for every network and every question: features are standardised on the probe's own training
samples, its strength is chosen on a fifth of them, and the test samples are looked at once.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Inverse regularisation strengths of the linear probe, the strongest penalty first."""

NEIGHBOURS = 10
SHOTS = (1, 5, 10)
DRAWS = 5
"""How often the samples of a few-shot probe are drawn; its score is the mean."""

HELD_OUT = 0.2
ITERATIONS = 200


@dataclass(frozen=True)
class Features:
    """Frozen features of one network for one question: [N, D] and labels [N] to fit on, [M, D] to test on."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def probe(features: Features) -> dict[str, float]:
    """Test accuracies in [0, 1]: `linear`, `knn`, and `few_shot_K` for each K that every class can give."""
    scaler = StandardScaler().fit(features.train)
    scaled = Features(
        np.asarray(scaler.transform(features.train), np.float64),
        features.train_labels,
        np.asarray(scaler.transform(features.test), np.float64),
        features.test_labels,
    )
    scores = {"linear": linear(scaled), "knn": nearest_neighbours(features)}
    for shots in SHOTS:
        if np.unique(features.train_labels, return_counts=True)[1].min() >= shots:
            scores[f"few_shot_{shots}"] = few_shot(scaled, shots)
    return scores


def linear(features: Features) -> float:
    """Logistic regression; its strength is chosen on a stratified fifth of the training samples.

    Ties go to the stronger penalty. It is fitted on all training samples afterwards.
    """
    labels = features.train_labels
    chosen = STRENGTHS[len(STRENGTHS) // 2]
    # A fifth can only be stratified where every class has two samples and the fifth one for each class.
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() >= 2 and HELD_OUT * len(labels) >= len(classes):
        parts = StratifiedShuffleSplit(1, test_size=HELD_OUT, random_state=0).split(labels, labels)
        fit, held_out = next(parts)
        scores = [
            _regression(strength, features.train[fit], labels[fit]).score(
                features.train[held_out], labels[held_out]
            )
            for strength in STRENGTHS
        ]
        chosen = STRENGTHS[int(np.argmax(scores))]
    return float(_regression(chosen, features.train, labels).score(features.test, features.test_labels))


def nearest_neighbours(features: Features) -> float:
    """Vote of the ten nearest training samples by cosine similarity, weighted by their closeness."""
    count = min(NEIGHBOURS, len(features.train))
    voters = KNeighborsClassifier(count, metric="cosine", weights="distance", algorithm="brute")
    # Features behind a rectifier may be zero altogether: they have no direction, and are far from everything.
    voters.fit(features.train, features.train_labels)
    return float(voters.score(features.test, features.test_labels))


def few_shot(features: Features, shots: int) -> float:
    """Mean accuracy of logistic regressions on `shots` samples of each class, over several draws.

    The draws depend on the labels alone, so that all networks get the same samples.
    """
    scores = []
    for draw in range(DRAWS):
        random = np.random.Generator(np.random.PCG64([shots, draw]))
        chosen = np.concatenate(
            [
                random.choice(np.flatnonzero(features.train_labels == each), shots, replace=False)
                for each in np.unique(features.train_labels)
            ]
        )
        model = _regression(1.0, features.train[chosen], features.train_labels[chosen])
        scores.append(model.score(features.test, features.test_labels))
    return float(np.mean(scores))


def _regression(strength: float, features: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    with warnings.catch_warnings():
        # A fit that stops early is a probe like any other: the validation fifth decides.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=ITERATIONS).fit(features, labels)
