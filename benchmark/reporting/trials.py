"""Trials of tuning as a frame: what was tried, how it went, what was chosen, what it cost."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pandas as pd

from benchmark.records import Record
from benchmark.reporting.frame import typed_frame
from benchmark.reporting.identity import OF_A_SEARCH, search_of


def trial_frame(trials: Iterable[Record], runs: Iterable[Record] = ()) -> pd.DataFrame:
    """One row per trial.

    Args:
        trials: their records.
        runs: those of the tuned runs; the trial whose hyper-parameters they have is `chosen`.

    Returns:
        Columns `task`, `dataset`, `pair`, the conditions of a search (`fold`, `label_fraction` and the like),
        `baseline`, `trial` (0: the default), `status` (`stopped`: not among the better half), `epochs`,
        `score` (the primary metric on validation after the last of them, unscaled), `chosen`,
        `num_validation`, `seconds`, `hyperparameters` as JSON.
    """
    chosen = {(search_of(run), run.selection.number) for run in runs if run.selection is not None}
    lines = []
    for record in trials:
        trial = record.trial
        if trial is None:
            continue
        scores = [score for score in trial.validation if score is not None]
        lines.append(
            {
                "task": record.run.task,
                "dataset": record.run.dataset,
                "pair": record.run.pair,
                **{name: getattr(record.condition, name) for name in OF_A_SEARCH},
                "baseline": record.run.baseline,
                "trial": trial.number,
                "status": record.status,
                "epochs": len(trial.validation),
                "score": scores[-1] if scores else None,
                "chosen": (search_of(record), trial.number) in chosen,
                "num_validation": record.about.num_validation,
                "seconds": record.measurements.total_s,
                "hyperparameters": json.dumps(record.hyperparameters, sort_keys=True),
            }
        )
    return typed_frame(sorted(lines, key=lambda line: [str(line[n]) for n in ORDER] + [line["trial"]]))


ORDER = ("task", "dataset", "pair", *OF_A_SEARCH, "baseline")
