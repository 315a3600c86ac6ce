"""Pairs whose networks see different things: folds, absent modalities, dense labels, no labels at all."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from benchmark import Samples
from benchmark.cli import main
from benchmark.training import outcomes
from tests.command import numbers, records, run

SENSES = "tiny_senses"


def test_a_student_is_evaluated_without_what_only_its_teacher_may_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The privileged columns of the test split are deleted once the teacher is ready; nothing changes."""
    assert run(tmp_path / "whole", baselines=("scratch", "kd", "wcord"), task=SENSES) == 0
    judge, opened = outcomes.Examination._test, []

    def without_privileged(self, state, outcome):
        whole = self.evaluation._data
        test = Samples({"signal": whole.test.modalities["signal"]}, whole.test.labels)
        self.evaluation._data = dataclasses.replace(whole, test=test)
        opened.append(test.modalities.keys())
        try:
            return judge(self, state, outcome)
        finally:
            self.evaluation._data = whole

    monkeypatch.setattr(outcomes.Examination, "_test", without_privileged)
    assert run(tmp_path / "bare", baselines=("scratch", "kd", "wcord"), task=SENSES) == 0
    assert opened == [{"signal"}] * 3
    whole, bare = records(tmp_path / "whole"), records(tmp_path / "bare")
    assert whole.keys() == bare.keys()
    assert all(numbers(whole[slug]) == numbers(bare[slug]) for slug in whole)


def test_needs_and_shapes_alone_decide_what_applies(tmp_path: Path) -> None:
    """The teacher shows the maps of its last input, a sequence: a hint fits; a volume's would not."""
    assert run(tmp_path, baselines=("fitnet", "kd", "crd", "gckt", "lckt"), task=SENSES) == 0
    assert {record.status for record in records(tmp_path).values()} == {"finished"}


def test_folds_are_a_column_and_chosen_by_pattern(tmp_path: Path) -> None:
    assert run(tmp_path, "--folds", "*", task=SENSES, report=True) == 0
    found = records(tmp_path).values()
    assert sorted(record.condition.fold for record in found) == ["first", "second"]
    assert len({record.id for record in found}) == 2
    table = (tmp_path / "t" / "tables" / "tiny_senses.md").read_text()
    assert "fold" in table


def test_the_first_fold_is_the_default(tmp_path: Path) -> None:
    assert run(tmp_path, task=SENSES) == 0
    (record,) = records(tmp_path).values()
    assert record.condition.fold == "first"


def test_a_dataset_that_has_none_of_the_presets_pairs_runs_its_first(tmp_path: Path) -> None:
    command = ["--tasks", "tiny_senses", "--datasets", "masks", "--baselines", "scratch", "--name", "t"]
    assert main([*command, "--results-dir", str(tmp_path), "--no-probes"]) == 0
    (record,) = records(tmp_path).values()
    assert record.run.pair == "dense"


def test_an_unknown_fold_is_named_with_those_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--folds", "third", task=SENSES) == 2
    assert "has no fold third: its folds: first, second" in capsys.readouterr().err


def test_a_pair_whose_modality_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--pairs", "rgb-sound", task=SENSES) == 2
    assert "pair rgb-sound needs sound" in capsys.readouterr().err


def dense(results: Path, *arguments: str, baselines: tuple[str, ...], report: bool) -> int:
    masks = ("--datasets", "masks", "--pairs", "dense", *arguments)
    return run(results, *masks, baselines=baselines, task=SENSES, report=report)


@pytest.mark.parametrize("labels", ["1", "0.25"])
def test_masks_are_learnt_and_scored_per_pixel(tmp_path: Path, labels: str) -> None:
    baselines = ("scratch", "kd", "fitnet", "crd", "gckt", "lckt", "wcord", "wcord+kd")
    arguments = ("--label-fraction", labels, "--teacher-epochs", "6")
    assert dense(tmp_path, *arguments, baselines=baselines, report=labels != "1") == 0
    found = records(tmp_path)
    assert len(found) == 8 + (2 if labels != "1" else 0)
    for slug, record in found.items():
        assert record.status == "finished", (slug, record.reason)
        scores = record.results.scores["test@last"]
        assert scores.keys() == {
            "miou",
            "pixel_accuracy",
            "nll",
            "brier",
            "ece",
            "agreement",
            "kl_to_teacher",
        }
        assert 0 <= scores["miou"] <= scores["pixel_accuracy"] <= 1
    assert [name for name, metric in record.metrics.items() if metric.primary] == ["miou"]
    teacher = record.teacher.test
    assert teacher["pixel_accuracy"] > 0.4, "each pixel's class is its own brightness"


def test_a_network_that_answers_per_image_is_refused_where_pixels_have_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--tasks", "tiny_senses", "--datasets", "masks", "--pairs", "mixed", "--baselines", "kd"]
    assert main([*command, "--results-dir", str(tmp_path), "--name", "t"]) == 2
    assert "tiny_small does not fit masks, which has a label per pixel" in capsys.readouterr().err


def blind(results: Path, *arguments: str, baselines: tuple[str, ...] = ("kd", "wcord")) -> int:
    command = ["--tasks", "tiny_senses", "--datasets", "blind", "--pairs", "rgb-rgb", "--name", "t"]
    return main([*command, "--results-dir", str(results), "--baselines", *baselines, *arguments])


def test_without_labels_students_learn_from_a_teacher_of_other_data(tmp_path: Path) -> None:
    assert run(tmp_path / "labelled") == 0
    (teacher,) = (tmp_path / "labelled" / "teachers").glob("*/weights.safetensors")
    baselines = ("scratch", "kd", "crd", "wcord", "wcord+kd", "pseudo_label")
    command = ("--teacher-checkpoint", str(teacher), "--epochs", "4")
    assert blind(tmp_path, *command, baselines=baselines) == 0
    found = {record.run.baseline: record for record in records(tmp_path).values()}
    assert found["scratch"].status == "not_applicable"
    assert found["scratch"].reason == "no training label may be used"
    for name in baselines[1:]:
        assert found[name].status == "finished", found[name].reason
        assert found[name].results.scores["test@last"].keys() == {"agreement", "kl_to_teacher"}
        assert found[name].about.num_classes == 6
    assert found["kd"].metrics["agreement"].primary
    assert found["pseudo_label"].results.scores["test@last"]["agreement"] > 2 / 6
    assert "KD" in (tmp_path / "t" / "tables" / "tiny_senses.md").read_text()


def test_without_labels_and_without_a_teacher_the_remedy_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert blind(tmp_path) == 2
    assert "blind has no labels: give --teacher-checkpoint FILE" in capsys.readouterr().err


def test_a_checkpoint_of_another_architecture_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import save_file

    file = tmp_path / "other.safetensors"
    save_file({"something": torch.zeros(3)}, file)
    assert blind(tmp_path, "--teacher-checkpoint", str(file)) == 2
    assert "does not fit tiny_big" in capsys.readouterr().err
