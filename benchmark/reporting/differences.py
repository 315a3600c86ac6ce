"""Rows against a row: what `inference` says of their runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from benchmark.reporting.rows import ResultRow
from benchmark.reporting.statistics.inference import (
    BestSet,
    Clusters,
    Difference,
    Samples,
    best_set,
    differences_to,
)


def differences(other: ResultRow, rows: Iterable[ResultRow], key: str) -> dict[str, Difference]:
    """Row's id -> its difference to the other row, in the unit of tables.

    The methods among them are tested together; a control or a reference stands for itself.
    """
    rows = list(rows)
    samples, clusters = _samples([other, *rows], key)
    family = [row.id for row in rows if row.about.role == "method"]
    found = differences_to(samples, other.id, family, clusters)
    return {name: each if samples[other.id] else replace(each, n=0) for name, each in found.items()}


def best_rows(rows: Iterable[ResultRow], key: str, higher_is_better: bool) -> BestSet:
    """Ids of the rows of one comparison that may be the best.

    Controls don't compete, and neither does a row of which a run diverged, failed or has no score: its mean
    is one of survivors.
    """
    competing = [row for row in rows if row.about.role != "control" and not row.lost]
    samples, clusters = _samples(competing, key)
    return best_set(samples, higher_is_better, clusters=clusters)


def _samples(rows: Iterable[ResultRow], key: str) -> tuple[Samples, Clusters | None]:
    """Row's id -> its values, and the cluster of each where runs are of several teachers or splits."""
    values = {row.id: row.by_seed(key) for row in rows}
    clusters = {row.id: [row.clusters.get(place, ()) for place in values[row.id]] for row in rows}
    several = any(label for labels in clusters.values() for label in labels)
    return {name: list(own.values()) for name, own in values.items()}, clusters if several else None
