"""Maps of embeddings by t-SNE, against scikit-learn's."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE, trustworthiness

from benchmark.reporting.figures.tsne import planar


def test_maps_are_as_faithful_as_scikit_learns():
    """Trustworthiness: how far neighbours on the map are neighbours in the embedding; 1 at best."""
    digits = load_digits()["data"][:120]
    scores = (
        trustworthiness(digits, planar(digits)),
        trustworthiness(digits, TSNE(random_state=0).fit_transform(digits)),
    )
    assert scores[0] > scores[1] - 0.01


def test_distant_groups_stay_apart():
    groups = np.random.default_rng(0).normal(size=(3, 20, 8)) + 20 * np.eye(3, 8)[:, None]
    places = planar(groups.reshape(60, 8)).reshape(3, 20, 2)
    centres, spread = places.mean(1), places.std(1).max()
    assert all(np.linalg.norm(centres[a] - centres[b]) > 3 * spread for a, b in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize(
    "embedding",
    [
        np.linspace(0, 1, 11)[:, None],
        np.repeat(np.eye(2, dtype=np.float16), 6, 0),
        np.concatenate([np.zeros((11, 3)), np.full((1, 3), 1e30)]),
        np.random.default_rng(0).normal(size=(12, 400)).astype(np.float32),
    ],
    ids=["one feature", "samples that are equal", "an outlier", "more features than samples"],
)
def test_odd_embeddings_have_a_map_and_always_the_same(embedding):
    places = planar(embedding)
    assert places.shape == (len(embedding), 2)
    assert np.isfinite(places).all()
    assert np.array_equal(places, planar(embedding))
