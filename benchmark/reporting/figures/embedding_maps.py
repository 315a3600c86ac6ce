"""Embedding maps: what teacher and students make of the same test samples, by t-SNE."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.reporting.figures.drawing import LINE, Drawing, Found, each_panel, square_axes, wrapped
from benchmark.reporting.figures.tsne import planar
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results
from benchmark.reporting.style import CLASS_COLOURS

SHOWN = 9
"""Networks in a figure, the teacher included."""
SAMPLES = 120
"""Samples in a map: more make no other picture, and take longer."""
COLUMNS = 3
CAPTION = (
    "t-SNE of the penultimate embeddings of the same {samples} test samples (seed {seed}), coloured by class."
    " Distances between groups and their sizes mean nothing; how mixed the colours are does."
)


class Embeddings(NamedTuple):
    """What a panel's networks make of the same samples."""

    networks: dict[str, np.ndarray]
    """label -> embeddings [N, D]"""
    labels: np.ndarray
    """[N]"""
    seed: str
    """of the runs: the first that finished of each row, so of some another"""
    left_out: list[str]
    """for want of room"""
    collapsed: list[str]
    """labels of networks that embed all samples alike, or in no finite numbers"""


def drawings(results: Results) -> Iterator[Drawing]:
    """For each panel whose runs kept embeddings of samples with one label each."""

    def show(panel: Panel) -> Found | None:
        found = embeddings(results, panel)
        if found is None:
            return None
        caption = CAPTION.format(samples=len(found.labels), seed=found.seed)
        if len(set(found.labels.tolist())) > len(CLASS_COLOURS):
            caption += f" There are {len(CLASS_COLOURS)} colours: classes that far apart share one."
        for words, names in (
            ("Collapsed, so not mapped", found.collapsed),
            ("Not shown for want of room", found.left_out),
        ):
            caption += f" {words}: {', '.join(names)}." if names else ""
        return caption, partial(embedding_figure, found.networks, found.labels, panel.title)

    return each_panel(results, "embedding_maps", "embeddings", show, stem="embeddings")


def embeddings(results: Results, panel: Panel) -> Embeddings | None:
    """Those of the lowest seed of each row, and their teacher's; None where nothing can be mapped."""
    kept = []
    for row in panel.rows:
        for record in row.finished[:1]:
            arrays = results.arrays(record, "test_embedding", "teacher_embedding", "test_label")
            own, label = arrays.get("test_embedding"), arrays.get("test_label")
            if own is None or label is None or own.ndim != 2 or label.ndim != 1:
                continue
            if len(label) >= len(own):
                kept.append((panel.label(row), own, label[: len(own)], arrays, record.run.seed))
    if not kept:
        return None
    _, _, labels, first, _ = kept[0]
    candidates = {name: own for name, own, *_ in kept if len(own) == len(labels)}
    teacher = first.get("teacher_embedding")
    if teacher is not None and teacher.ndim == 2 and len(teacher) >= len(labels):
        candidates = {"teacher": teacher, **candidates}
    spread = {name: each[: len(labels)][:SAMPLES] for name, each in candidates.items() if _has_spread(each)}
    if len(labels) <= 10 or not spread:
        return None
    collapsed = [name for name in candidates if name not in spread]
    networks = dict(list(spread.items())[:SHOWN])
    seeds = sorted({own for name, *_, own in kept if name in networks})
    seed = ", ".join(map(str, seeds))
    return Embeddings(networks, labels[:SAMPLES], seed, list(spread)[SHOWN:], collapsed)


def _has_spread(embedding: np.ndarray) -> bool:
    """Whether there is something to map: t-SNE has no answer for samples that all lie in one place."""
    values = embedding[:SAMPLES].astype(np.float64)
    if not np.isfinite(values).all():
        return False
    return bool(values.std(0).max(initial=0) > 1e-3 * max(np.abs(values).max(initial=0), 1e-12))


def embedding_figure(networks: dict[str, np.ndarray], labels: np.ndarray, title: str) -> Figure:
    """A map for each network; colours repeat where there are more classes than colours."""
    columns = min(COLUMNS, len(networks))
    classes = sorted({int(label) for label in labels})
    foot = 0.3 + LINE * math.ceil(len(classes) / 8) if len(classes) <= len(CLASS_COLOURS) else 0.0
    figure, all_axes = square_axes(title, len(networks), 3.5 / COLUMNS, columns, foot=foot)
    colours = [CLASS_COLOURS[int(label) % len(CLASS_COLOURS)] for label in labels]
    for (name, embedding), axes in zip(networks.items(), all_axes, strict=True):
        places = planar(embedding)
        axes.scatter(places[:, 0], places[:, 1], s=2.5, c=colours, linewidths=0)
        axes.set_facecolor("#F6F6F6")
        axes.set_title("\n".join(wrapped(name, 20).split("\n")[:2]), fontsize=6.5)
        axes.margins(0.05)
    if foot:
        dots = [
            Line2D([], [], color=CLASS_COLOURS[k % len(CLASS_COLOURS)], marker="o", ms=3, lw=0, label=f"{k}")
            for k in classes
        ]
        spacing = {"columnspacing": 0.8, "handletextpad": 0.0, "borderaxespad": 0.1}
        figure.legend(handles=dots, loc="lower center", ncols=8, title="class", title_fontsize=7, **spacing)
    return figure
