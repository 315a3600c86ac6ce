"""The arrays that a run leaves for figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark import Distiller, baseline
from tests.command import numbers, records, run


def arrays_of(results: Path, name: str) -> dict[str, np.ndarray]:
    (folder,) = (results / "t" / "runs").glob(f"*-{name}-seed0-*")
    with np.load(folder / "arrays.npz") as content, np.load(folder / "outputs.npz") as apart:
        assert not content.keys() & apart.keys()
        return dict(content) | dict(apart)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    results = tmp_path_factory.mktemp("artifacts")
    assert run(results, baselines=("lckt",)) == 0
    return arrays_of(results, "lckt")


def test_the_class_correlations_are_those_of_the_kept_logits(arrays):
    kept = arrays["test_logits"].astype(np.float64)
    np.testing.assert_allclose(arrays["test_class_correlation"], np.corrcoef(kept.T), atol=5e-3)
    teacher = arrays["teacher_class_correlation"]
    assert teacher.shape == arrays["test_class_correlation"].shape
    assert np.diag(teacher) == pytest.approx(1)
    assert not np.allclose(teacher, arrays["test_class_correlation"], atol=0.01)


def test_the_embeddings_of_teacher_and_student_are_of_the_same_samples(arrays):
    assert len(arrays["teacher_embedding"]) == len(arrays["test_embedding"]) <= 256
    assert np.isfinite(arrays["teacher_embedding"]).all()


def test_diagnostics_are_kept_after_the_first_epoch_and_at_the_end(arrays):
    early, late = (arrays[f"{when}.lckt_coupling"] for when in ("diagnostics_first", "diagnostics"))
    for coupling in (early, late):
        assert coupling.sum() == pytest.approx(1, abs=0.01)
        assert coupling.sum(1) == pytest.approx(1 / len(coupling), rel=0.01)
    assert np.abs(early - late).max() > 1e-5


def test_numbers_among_the_diagnostics_are_followed_over_the_epochs(tmp_path: Path, arrays):
    assert run(tmp_path, baselines=("lckt", "lckt+kd", "kd")) == 0
    followed = {}
    for name in ("lckt", "lckt+kd", "kd"):
        (file,) = (tmp_path / "t" / "runs").glob(f"*-{name}-seed0-*/history.jsonl")
        followed[name] = [json.loads(line).get("diagnostics", {}) for line in file.read_text().splitlines()]
    assert len(followed["lckt"]) > 1
    for epoch in followed["lckt"]:
        assert 0 <= epoch["true_pair_mass"] <= 1
        assert 0 <= epoch["coupling_entropy"] <= 1
    masses = [epoch["true_pair_mass"] for epoch in followed["lckt"]]
    assert len(set(masses)) == len(masses)
    last = arrays["diagnostics.lckt_coupling"]
    assert masses[-1] == pytest.approx(np.trace(last), rel=1e-5)
    assert all("lckt.true_pair_mass" in epoch for epoch in followed["lckt+kd"])
    assert followed["kd"] == [{}] * len(followed["kd"])


def test_the_history_has_the_mean_of_each_term_over_the_steps_of_an_epoch(tmp_path: Path):
    @baseline("counts", title="Counts")
    class Counts(Distiller):
        def forward(self, teacher, student, batch, progress):
            nothing = 0 * student.logits.sum()
            return {"two": nothing + 2, "step": nothing + progress.step}

    assert run(tmp_path, "--set", "counts.task_weight=0", baselines=("counts",)) == 0
    (file,) = (tmp_path / "t" / "runs").glob("*-counts-seed0-*/history.jsonl")
    epochs = [json.loads(line) for line in file.read_text().splitlines()]
    steps = 216 // 32  # of the tiny task without its validation
    assert [epoch["epoch"] for epoch in epochs] == [0, 1]
    for number, epoch in enumerate(epochs):
        middle = number * steps + (steps - 1) / 2
        assert epoch["terms"] == {"two": 2.0, "step": pytest.approx(middle)}
        assert epoch["train"]["loss"] == pytest.approx(2 + middle)


def test_diagnostics_that_draw_random_numbers_change_nothing(tmp_path: Path):
    @baseline("draws", title="Draws")
    class Draws(Distiller):
        curious = False

        def forward(self, teacher, student, batch, progress):
            return {"noise": (student.logits * torch.randn_like(student.logits)).mean()}

        def diagnostics(self, teacher, student, batch):
            return {"drawn": torch.randn(3, 3).numpy()} if self.curious else {}

    run(tmp_path / "plain", baselines=("draws",))
    Draws.curious = True
    run(tmp_path / "curious", baselines=("draws",))
    assert arrays_of(tmp_path / "curious", "draws")["diagnostics_first.drawn"].shape == (3, 3)
    plain, curious = records(tmp_path / "plain"), records(tmp_path / "curious")
    assert [*map(numbers, plain.values())] == [*map(numbers, curious.values())]
