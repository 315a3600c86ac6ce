"""Embedding maps: what teacher and students make of the same test samples, by t-SNE."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from benchmark.reporting.figures.drawing import Drawing, bare, square_axes, wrapped
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results
from benchmark.reporting.style import CLASS_COLOURS

SHOWN = 9
"""Networks in a figure, the teacher included."""
COLUMNS = 3
CAPTION = (
    "t-SNE of the penultimate embeddings of the same {samples} test samples (seed {seed}), coloured by class."
    " Distances between groups and their sizes mean nothing; how mixed the colours are does."
)


def drawings(results: Results) -> Iterator[Drawing]:
    """For each panel whose runs kept embeddings of samples with one label each."""
    for task, panels in results.panels.items():
        for number, panel in enumerate(panels, start=1):
            found = embeddings(results, panel)
            if found is None:
                continue
            networks, labels, seed, left_out = found
            caption = CAPTION.format(samples=len(labels), seed=seed)
            if left_out:
                caption += f" Not shown for want of room: {', '.join(left_out)}."
            yield Drawing(
                f"{task}_embeddings_{number}",
                f"{results.task_title(task)}: embeddings, {panel.heading}",
                caption,
                partial(embedding_figure, networks, labels, panel.title),
            )


def embeddings(
    results: Results, panel: Panel
) -> tuple[dict[str, np.ndarray], np.ndarray, int, list[str]] | None:
    """(title -> embeddings [N, D], labels [N], seed, titles left out); of the lowest seed of each row."""
    networks: dict[str, np.ndarray] = {}
    left_out: list[str] = []
    labels: np.ndarray | None = None
    shown_seed = 0
    for row in panel.rows:
        for record in row.finished[:1]:
            arrays = results.arrays(record, "test_embedding", "teacher_embedding", "test_label")
            own = arrays.get("test_embedding")
            if own is None or arrays.get("test_label") is None or arrays["test_label"].ndim != 1:
                continue
            if labels is None:
                labels, shown_seed = arrays["test_label"][: len(own)], record.run.seed
                if arrays.get("teacher_embedding") is not None:
                    networks["teacher"] = arrays["teacher_embedding"][: len(labels)]
            if len(own) != len(labels):
                continue
            if len(networks) < SHOWN:
                networks[panel.label(row)] = own
            else:
                left_out.append(panel.label(row))
    usable = {title: each for title, each in networks.items() if np.isfinite(each).all() and len(each) > 10}
    return (usable, labels, shown_seed, left_out) if usable and labels is not None else None


def embedding_figure(networks: dict[str, np.ndarray], labels: np.ndarray, title: str) -> Figure:
    """A map for each network; colours repeat where there are more classes than colours."""
    columns = min(COLUMNS, len(networks))
    figure, all_axes = square_axes(len(networks), 3.5 / COLUMNS, columns)
    colours = [CLASS_COLOURS[label % len(CLASS_COLOURS)] for label in labels]
    for (name, embedding), axes in zip(networks.items(), all_axes, strict=True):
        places = planar(embedding)
        axes.scatter(places[:, 0], places[:, 1], s=2.5, c=colours, linewidths=0)
        axes.set_title(wrapped(name, 18), fontsize=6.5)
        bare(axes)
        axes.margins(0.05)
    figure.suptitle(title, fontsize=8)
    return figure


def planar(embedding: np.ndarray) -> np.ndarray:
    """The t-SNE [N, 2] of an embedding [N, D], the same on every call."""
    from sklearn.manifold import TSNE  # half a second to import
    from threadpoolctl import threadpool_limits

    values = embedding.astype(np.float64)
    values = (values - values.mean(0)) / (values.std() or 1.0)
    perplexity = min(30.0, (len(values) - 1) / 3)
    start = "pca" if min(values.shape) >= 2 else "random"
    # So few samples cost several threads more in waiting for each other than they save.
    with threadpool_limits(1):
        return TSNE(init=start, perplexity=perplexity, max_iter=300, random_state=0).fit_transform(values)
