"""Five hundred records with damaged ones among them: all is drawn in bounded time, nothing is lost."""

import io
import time

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmark.reporting import report
from tests.reporting.fake_records import BASELINES, arrays_of, make_record, write_run

PAIRS = ("resnet20-resnet8", "resnet56-resnet8")
WEIGHTS = {"kd": (0.5, 0.9), "crd": (0.8, 1.6)}
SEEDS = range(25)
WITH_ARRAYS = (PAIRS[1], range(5))
"""The pair and the seeds whose runs keep arrays; to draw and to resample those takes longest."""

LIMIT_S = 45


def ten_baselines():
    """(name, hyper-parameters) of ten rows: the eight fake baselines, two of them with a second weight."""
    yield from ((name, {"weight": WEIGHTS.get(name, (0.8,))[0]}) for name in BASELINES)
    yield from ((name, {"weight": weights[1]}) for name, weights in WEIGHTS.items())


def arrays_with_predictions(record, samples=1000):
    """Arrays whose predictions are right as often as the record says, so that the bootstrap takes them."""
    arrays = arrays_of(record, classes=10, samples=100)
    label = (np.arange(samples) % 10).astype(np.int16)
    right = np.arange(samples) < round(record.results.scores["test@last"]["top1"] * samples)
    prediction = np.where(np.random.default_rng(0).permutation(right), label, (label + 1) % 10)
    return arrays | {"test_label": label, "test_prediction": prediction.astype(np.int16)}


@pytest.mark.slow
def test_five_hundred_records_are_reported_in_bounded_time_with_the_damaged_ones_named(tmp_path):
    records = [
        make_record(name, seed, pair=pair, hyperparameters=hyperparameters)
        for pair in PAIRS
        for name, hyperparameters in ten_baselines()
        for seed in SEEDS
    ]
    assert len(records) == 500
    for record in records:
        run_folder = write_run(tmp_path, record)
        if record.run.pair == WITH_ARRAYS[0] and record.run.seed in WITH_ARRAYS[1]:
            np.savez(run_folder / "arrays.npz", **arrays_with_predictions(record))
    corrupt, half = (tmp_path / "runs" / name for name in ("corrupt-00000000", "half-written-11111111"))
    for path, content in ((corrupt, b"\x80\x81"), (half, b'{"schema": 1, "id": "')):
        path.mkdir()
        (path / "record.json").write_bytes(content)
    console = Console(file=io.StringIO(), width=200)

    # Processor time: what it takes on an idle machine, whatever else this one is doing.
    started = time.process_time()
    paths = report(tmp_path, console)
    elapsed = time.process_time() - started

    printed, page = console.file.getvalue(), (tmp_path / "report.html").read_text()
    assert all(path.name in printed and path.name in page for path in (corrupt, half))
    assert len(pd.read_csv(tmp_path / "records.csv")) == 500
    stems = {path.stem.partition("_")[2] for path in paths if path.suffix == ".pdf"}
    kinds = (
        "comparison",
        "learning_curves",
        "costs",
        "fidelity",
        "gains",
        "class_correlation",
        "embeddings",
    )
    assert all(any(stem.startswith(kind) for stem in stems) for kind in kinds), stems
    comparisons = pd.read_csv(tmp_path / "tables" / "comparisons.csv").set_index("pair")
    assert comparisons.loc[WITH_ARRAYS[0]]["bootstrap_low"].notna().all()
    assert elapsed < LIMIT_S
