"""The tables of corrupted test samples: what is left of every baseline's score, kind by kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from benchmark.records import LAST, Metric
from benchmark.reporting.formatting import all_notes, metric_name, show_words
from benchmark.reporting.grouping import estimates
from benchmark.reporting.results import Results
from benchmark.reporting.rows import CORRUPTED, PROBES, PairBlock, ResultRow, grouped, merge_metrics
from benchmark.reporting.tables.captions import caption_of_lost
from benchmark.reporting.tables.task_tables import (
    METHOD,
    Column,
    N,
    TaskTable,
    estimate_column,
    measured_runs,
    numbers_frame,
    own_decimals,
    status_column,
    telling_columns,
)

MEAN, RETAINED = "mean", "retained"

CAPTION = (
    "Scores on corrupted test samples, last weights: mean ± sample standard deviation over n seeds.",
    "For the teacher, n counts distinct teachers.",
    "A kind is the mean over its three strengths (severities 1, 3 and 5 of CIFAR-10-C, after Hendrycks and"
    " Dietterich, ICLR 2019; each strength stands in the CSV file), corrupted the mean over all kinds and"
    " strengths; retained, where higher is better, is corrupted divided by clean, run by run (a network that"
    " guesses retains all).",
    "Nothing was trained on corrupted samples; they are the same for every run.",
)


def corruption_tables(results: Results) -> list[TaskTable]:
    """One table for each task with corrupted tests; its files are the task's with `_corruptions` behind."""
    tested = measured_runs(results, lambda record: record.results.corrupted)
    tables = []
    for task, blocks in tested.blocks.items():
        own = [record for record in tested.records if record.run.task == task]
        blocks = [replace(block, rows=tuple(map(with_means, block.rows))) for block in blocks]
        metrics = {name: each for name, each in merge_metrics(own).items() if name in _metrics(blocks)}
        frame, notes = numbers_frame(blocks, own), all_notes(blocks)
        clean = tuple(f"{LAST}/{name}/" for name in metrics)
        left_out = ("test@", "difference/", PROBES)
        shown = [name for name in frame if name.startswith(clean) or not name.startswith(left_out)]
        tables.append(
            TaskTable(
                task=task,
                kind="corruptions",
                stem=f"{task}_corruptions",
                title=f"{tested.task_title(task)}: corrupted test samples",
                blocks=blocks,
                columns=[*_columns(blocks, metrics), *status_column(blocks, notes)],
                caption=[*CAPTION, *_blind(blocks), *caption_of_lost(blocks)],
                notes=notes,
                frame=pd.DataFrame(frame[shown]),
            )
        )
    return tables


def with_means(row: ResultRow) -> ResultRow:
    """The row with `corrupted/mean/top1`, `corrupted/retained/top1` (%) and `corrupted/<kind>/top1`, by seed.

    A run that lacks one of the row's numbers has no mean of them. Of an error nothing is retained.
    """
    numbers: dict[str, pd.Series] = {}
    for metric, keys in _keys(row.numbers).items():
        mean = _mean(row.numbers, keys)
        numbers[f"{CORRUPTED}{MEAN}/{metric}"] = mean
        if row.records[0].metrics[metric].direction != "min":
            clean = row.numbers[f"{LAST}/{metric}"]
            numbers[f"{CORRUPTED}{RETAINED}/{metric}"] = 100 * mean / clean.where(clean != 0)
        for kind, own in grouped(keys, _kind).items():
            numbers[f"{CORRUPTED}{kind}/{metric}"] = _mean(row.numbers, own)
    values = row.values | estimates(pd.DataFrame(numbers), row.clusters)
    return replace(row, numbers=row.numbers.assign(**numbers), values=values)


def _keys(names: Iterable[str]) -> dict[str, list[str]]:
    """Metric -> the columns of its scores, one for each kind and strength: `corrupted/contrast/3/top1`."""
    known = [name for name in map(str, names) if name.startswith(CORRUPTED) and name.count("/") == 3]
    return grouped(known, lambda name: name.rpartition("/")[2])


def _kind(key: str) -> str:
    return key.split("/")[1]


def _mean(numbers: pd.DataFrame, keys: list[str]) -> pd.Series:
    return pd.Series(np.mean(numbers[keys].to_numpy(), axis=1), index=numbers.index)


def _metrics(blocks: list[PairBlock]) -> set[str]:
    return {metric for block in blocks for row in block.rows for metric in _keys(row.numbers)}


def _columns(blocks: list[PairBlock], metrics: dict[str, Metric]) -> list[Column]:
    columns = [METHOD, *telling_columns(blocks), N]
    for metric, known in metrics.items():
        keys = [key for block in blocks for row in block.rows for key in _keys(row.numbers).get(metric, ())]
        words, decimals = metric_name(known, metric), partial(own_decimals, name=metric, metric=known)
        others = f", {known.short or metric}" * (len(metrics) > 1)
        columns += [
            estimate_column(f"{words}\nclean", f"{LAST}/{metric}", decimals),
            estimate_column(f"corrupted,\nmean{others}", f"{CORRUPTED}{MEAN}/{metric}", decimals),
        ]
        if known.direction != "min":
            retained = f"{CORRUPTED}{RETAINED}/{metric}"
            columns.append(estimate_column(f"retained\n(%){others}", retained, lambda row: 1))
        for spare, kind in enumerate(dict.fromkeys(map(_kind, keys)), start=1):
            header = show_words(kind).replace(" ", "\n", 1) + others
            columns.append(estimate_column(header, f"{CORRUPTED}{kind}/{metric}", decimals, spare))
    return columns


def _blind(blocks: list[PairBlock]) -> list[str]:
    """A sentence for the pairs with a single kind: those whose student sees no image."""
    blind: dict[str, list[str]] = {}
    for block in blocks:
        names = [key for row in block.students for keys in _keys(row.numbers).values() for key in keys]
        kinds = {_kind(key) for key in names}
        if len(kinds) == 1:
            blind.setdefault(kinds.pop(), []).append(f"{block.dataset}, {block.pair}")
    return [
        f"Where the student sees no image there is {show_words(kind)} alone: {'; '.join(pairs)}."
        for kind, pairs in blind.items()
    ]
