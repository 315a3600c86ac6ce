"""Tuning as a command: lockstep, halving, resumption, and that nothing but validation is looked at."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from benchmark import Distiller, baseline
from benchmark.data.split_settings import SplitSettings
from benchmark.data.splits import splits_of
from benchmark.evaluation.evaluation import Evaluation
from benchmark.planning import tuning as planning
from benchmark.planning.grid import make_plan
from benchmark.plugins import Registry
from benchmark.records import VALIDATION, Record, sealed
from benchmark.reporting import compare
from benchmark.running import store, tuning
from benchmark.running.ledger import Ledger, code_checksum, snapshot_identity
from benchmark.settings import parse
from benchmark.training import artifacts
from benchmark.training import teacher as teachers
from tests.command import BARE, TINY, numbers, outcome, records, run, trials
from tests.tiny_task import TinyTask, tiny_data

NAMES = ("scratch", "kd", "fitnet")
TUNE = ("--tune", "4", "--epochs", "8", "--validation", "0.3")


def tuned(results: Path) -> dict[str, Record]:
    return {r.run.baseline: r for r in records(results).values() if r.condition.tuning == "tuned"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tuned command, left alone."""
    folder = tmp_path_factory.mktemp("tuned")
    assert run(folder, *TUNE, "--seeds", "0", "1", "2", baselines=NAMES) == 0
    return folder


def test_a_trial_that_does_not_go_on_is_no_trouble_to_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, *TUNE, baselines=("scratch",)) == 0
    assert {each.status for each in trials(tmp_path).values()} == {"stopped", "finished"}
    assert "stopped:" not in capsys.readouterr().out


def test_every_baseline_has_as_many_trials_and_half_of_them_go_on(whole: Path) -> None:
    found = trials(whole)
    for name in NAMES:
        own = {each.trial.number: each for key, each in found.items() if key.startswith(f"{name} ")}  # pyright: ignore
        assert sorted(own) == [0, 1, 2, 3]
        lengths = sorted(len(each.trial.validation) for each in own.values())  # pyright: ignore
        assert lengths in ([2, 2, 4, 8], [0, 2, 4, 8])  # FitNet's hint layer 3 may not be there
        ends = [each for each in own.values() if each.status == "finished"]
        assert len(ends) == 1
        for stopped in (each for each in own.values() if each.status == "stopped"):
            epochs = len(stopped.trial.validation)  # pyright: ignore
            at_rung = [e for e in own.values() if len(e.trial.validation) > epochs]  # pyright: ignore
            assert at_rung
            for better in at_rung:
                ours, theirs = (e.trial.validation[epochs - 1] for e in (better, stopped))  # pyright: ignore
                assert ours >= theirs  # pyright: ignore


def test_trials_are_judged_on_validation_alone_and_leave_no_test_score(whole: Path) -> None:
    for record in trials(whole).values():
        assert set(record.results.scores) <= {VALIDATION}
        assert record.condition.tuning == "trial"
        assert record.run.seed not in (0, 1, 2)


def test_the_chosen_runs_stand_beside_the_default_ones(whole: Path) -> None:
    kinds = pd.Series([(r.run.baseline, r.condition.tuning) for r in records(whole).values()])
    assert dict(kinds.value_counts()) == {(n, kind): 3 for n in NAMES for kind in ("default", "tuned")}
    for name, record in tuned(whole).items():
        selection = record.selection
        assert selection is not None
        chosen = trials(whole)[f"{name} {selection.number}"]
        assert record.hyperparameters == chosen.hyperparameters
        assert selection.trials == 4
        assert selection.num_validation == record.about.num_validation
        assert selection.seconds == pytest.approx(
            sum(each.measurements.total_s or 0 for key, each in trials(whole).items() if key.startswith(name))
        )


def test_a_comparison_takes_tuned_to_tuned_and_default_to_default(whole: Path) -> None:
    frame = compare(whole / "t")
    assert sorted(zip(frame["baseline"], frame["tuning"], strict=True)) == sorted(
        (name, kind) for name in ("kd", "fitnet") for kind in ("default", "tuned")
    )
    kin = {(r.run.baseline, r.condition.tuning, r.run.seed): r for r in records(whole).values()}
    for _, row in frame.iterrows():
        mine, anchor = (
            sum(kin[name, row["tuning"], seed].results.scores["test@last"]["top1"] for seed in (0, 1, 2)) / 3  # pyright: ignore
            for name in (row["baseline"], "scratch")
        )
        assert row["difference"] == pytest.approx(100 * (mine - anchor), abs=1e-4)


def test_a_choice_that_is_the_default_is_trained_once_and_recorded_twice(whole: Path) -> None:
    left = [name for name, record in tuned(whole).items() if record.selection.number == 0]  # pyright: ignore
    if not left:
        pytest.fail("pick other settings: this test needs a baseline that is left at its default")
    for name in left:
        alike = [r for r in records(whole).values() if r.run.baseline == name and r.run.seed == 0]
        assert {r.condition.tuning for r in alike} == {"default", "tuned"}
        assert alike[0].results == alike[1].results
        assert alike[0].measurements == alike[1].measurements
        assert alike[0].id != alike[1].id


def test_the_settings_file_gives_the_tuned_numbers_again(whole: Path, tmp_path: Path) -> None:
    (file,) = (whole / "t" / "tuned").glob("*.yaml")
    options = ("--config", str(file), "--epochs", "8", "--validation", "0.3", "--seeds", "0")
    assert run(tmp_path, *options, baselines=NAMES) == 0
    again = {record.run.baseline: record for record in records(tmp_path).values()}
    for name in NAMES:
        record = next(
            r
            for r in records(whole).values()
            if (r.run.baseline, r.condition.tuning, r.run.seed) == (name, "tuned", 0)
        )
        assert again[name].results == record.results
        assert again[name].hyperparameters == record.hyperparameters


def test_choices_of_baselines_with_teachers_of_their_own_are_kept_beside_the_others(tmp_path: Path) -> None:
    names = ("kd", "self_distillation", "random_teacher")
    assert run(tmp_path, "--tune", "2", "--epochs", "2", "--seeds", "0", baselines=names) == 0
    files = sorted((tmp_path / "t" / "tuned").iterdir())
    assert [each.name for each in files] == [
        "stripes-tiny_big-tiny_small-trained-shared.yaml",
        "stripes-tiny_big-tiny_small-untrained-shared.yaml",
    ]
    kept = {
        name: values for each in files for name, values in yaml.safe_load(each.read_text())["set"].items()
    }
    assert kept == {name: record.hyperparameters for name, record in tuned(tmp_path).items()}
    assert kept.keys() == set(names)


def test_choices_with_few_labels_are_kept_beside_those_with_all(tmp_path: Path) -> None:
    options = (
        "--tune",
        "2",
        "--epochs",
        "2",
        "--seeds",
        "0",
        "--validation",
        "0.3",
        "--teacher-data",
        "shared",
    )
    assert run(tmp_path, *options, "--label-fraction", "0.5", baselines=("kd",)) == 0
    assert sorted(each.name for each in (tmp_path / "t" / "tuned").iterdir()) == [
        "stripes-tiny_big-tiny_small-trained-shared-labels0.5.yaml",
        "stripes-tiny_big-tiny_small-trained-shared.yaml",
    ]


def test_where_less_is_better_the_trials_with_less_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Evaluation, "higher_is_better", False)
    assert run(tmp_path, *TUNE, "--seeds", "0", baselines=("kd",)) == 0
    *_, stopped, finished = sorted((each.trial.validation for each in trials(tmp_path).values()), key=len)  # pyright: ignore
    assert (len(stopped), len(finished)) == (4, 8)
    assert finished[3] < stopped[3]


def test_a_trial_is_the_same_in_smaller_company(whole: Path, tmp_path: Path) -> None:
    assert run(tmp_path, *TUNE, "--seeds", "0", baselines=("kd",)) == 0
    for name, record in trials(tmp_path).items():
        assert outcome(record) == outcome(trials(whole)[name])


@pytest.mark.parametrize("epochs_before", [1, 2, 3, 5])
def test_a_stopped_command_goes_on_and_chooses_alike(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs_before: int
) -> None:
    """Killed in the middle of the third trial's epoch, before and after rungs; snapshots at every epoch."""
    log, seen = tuning.Trials._log, []

    def killed(self, trial, epoch):
        seen.append(epoch["epoch"])
        if seen.count(epochs_before) == 2:
            raise KeyboardInterrupt
        log(self, trial, epoch)

    monkeypatch.setattr(tuning.Trials, "_log", killed)
    assert run(tmp_path, *TUNE, "--seeds", "0", "--snapshot-minutes", "0", baselines=NAMES) == 130
    monkeypatch.setattr(tuning.Trials, "_log", log)
    assert run(tmp_path, *TUNE, "--seeds", "0", baselines=NAMES) == 0
    found = trials(tmp_path)
    assert found.keys() == trials(whole).keys()
    for name, record in found.items():
        assert outcome(record) == outcome(trials(whole)[name])
    for name, record in tuned(tmp_path).items():
        assert record.hyperparameters == tuned(whole)[name].hyperparameters


def test_a_command_that_is_killed_at_a_rung_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tuning.Trials, "_halve", killed)
        assert run(tmp_path, *TUNE, "--seeds", "0", baselines=("kd",)) == 130
    log, seen = tuning.Trials._log, []
    monkeypatch.setattr(
        tuning.Trials,
        "_log",
        lambda self, trial, epoch: (seen.append(epoch["epoch"]), log(self, trial, epoch)),
    )
    assert run(tmp_path, *TUNE, "--seeds", "0", baselines=("kd",)) == 0
    assert min(seen) == planning.rungs(8)[0]


def test_a_command_that_is_stopped_while_it_records_goes_on_alike(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed with some of the stopped trials recorded and others not: the same half goes on."""
    finish, count = store.RunFolder.finish, 0

    def killed(self, record):
        nonlocal count
        count += self.path.parent.name == "trials"
        if count == 4:
            raise KeyboardInterrupt
        finish(self, record)

    monkeypatch.setattr(store.RunFolder, "finish", killed)
    assert run(tmp_path, *TUNE, "--seeds", "0", baselines=NAMES) == 130
    monkeypatch.setattr(store.RunFolder, "finish", finish)
    assert run(tmp_path, *TUNE, "--seeds", "0", baselines=NAMES) == 0
    for name, record in trials(tmp_path).items():
        assert outcome(record) == outcome(trials(whole)[name])


def test_recorded_trials_are_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--tune", "2", "--epochs", "2", "--seeds", "0")
    assert run(tmp_path, *options, baselines=("kd",)) == 0
    capsys.readouterr()
    assert run(tmp_path, *options, baselines=("kd",)) == 0
    assert "trials, to epoch" not in capsys.readouterr().out


def test_who_only_looks_at_what_is_recorded_writes_nothing(tmp_path: Path, registry: Registry) -> None:
    options = ("--tune", "2", "--epochs", "2", "--seeds", "0")
    assert run(tmp_path, *options, baselines=("kd",)) == 0
    snapshots = [record.with_name("snapshot.pt") for record in (tmp_path / "t").rglob("record.json")]
    for file in snapshots:
        file.touch()
    before = contents(tmp_path / "t")
    assert run(tmp_path, *options, "--dry-run", baselines=("kd",)) == 0
    settings = parse([*TINY, *BARE, "--results-dir", str(tmp_path), "--baselines", "kd", *options])
    plan, ledger = make_plan(settings, registry), Ledger(tmp_path / "t", registry)
    chosen = {
        key: (dataclasses.replace(selection, trials=9), values)
        for key, (selection, values) in tuning.chosen_settings(plan.tuning, ledger, print).items()
    }
    (cohort,) = (planning.tuned(cohort, chosen) for cohort in plan.cohorts)
    assert len(cohort.runs) == 2
    assert ledger.pending(cohort) == ()
    assert contents(tmp_path / "t") == before
    assert ledger.refreshed(cohort) == ()
    (record,) = tuned(tmp_path).values()
    assert record.selection is not None
    assert record.selection.trials == 9
    assert [file.parent.parent.name for file in snapshots if file.exists()] == ["trials", "trials"]


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("counts", [(4, 2), (2, 4)], ids=["fewer", "more"])
def test_another_number_of_trials_in_the_same_folder_chooses_as_in_a_fresh_one(
    counts: tuple[int, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--epochs", "4", "--validation", "0.3", "--seeds", "0")
    for count in counts:
        assert run(tmp_path / "used", "--tune", str(count), *options, baselines=("kd",)) == 0
    assert run(tmp_path / "fresh", "--tune", str(counts[1]), *options, baselines=("kd",)) == 0
    assert "no tuned runs" not in capsys.readouterr().out
    used, fresh = trials(tmp_path / "used"), trials(tmp_path / "fresh")
    for name, record in fresh.items():
        assert outcome(used[name]) == outcome(record)
    (record,) = tuned(tmp_path / "fresh").values()
    assert record.selection is not None
    assert record.selection.trials == counts[1]
    same = [r for r in records(tmp_path / "used").values() if r.id == record.id]
    assert [each.selection.trials for each in same if each.selection] == [counts[1]]
    assert [numbers(each) for each in same] == [numbers(record)]
    files = [next((tmp_path / side / "t" / "tuned").glob("*.yaml")) for side in ("used", "fresh")]
    assert files[0].read_text() == files[1].read_text()


def test_a_snapshot_of_a_trial_is_of_use_among_as_many_alone(tmp_path: Path, registry: Registry) -> None:
    """Among others it may have passed a rung at which it would be stopped now."""
    given = ("--tasks", "tiny_task", "--results-dir", str(tmp_path), "--baselines", "kd")
    plans = [make_plan(parse([*given, *TUNE[2:], "--tune", count]), registry) for count in ("2", "4")]
    first, second = (plan.tuning[0].runs[0] for plan in plans)
    assert first.id == second.id
    assert snapshot_identity(first, registry) != snapshot_identity(second, registry)
    run = plans[0].cohorts[0].runs[0]
    assert snapshot_identity(run, registry) == f"{run.id} {code_checksum(run, registry)}"


def test_trials_that_do_not_tell_among_how_many_they_were_halved_count_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--tune", "2", "--epochs", "2", "--seeds", "0")
    assert run(tmp_path, *options, baselines=("kd",)) == 0
    for file in (tmp_path / "t" / "trials").glob("*/record.json"):
        content = json.loads(file.read_text())
        assert content["trial"].pop("trials") == 2
        file.write_text(json.dumps(sealed(content)))
    capsys.readouterr()
    assert run(tmp_path, *options, baselines=("kd",)) == 0
    assert "trials, to epoch" not in capsys.readouterr().out


def test_a_baseline_without_a_choice_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @baseline("explodes", title="Explodes")
    class Explodes(Distiller):
        def forward(self, teacher, student, batch, progress):
            return {"explodes": student.logits.sum() * float("nan")}

    options = ("--tune", "2", "--epochs", "2", "--seeds", "0")
    assert run(tmp_path, *options, baselines=("kd", "explodes")) == 0
    told = capsys.readouterr().out.replace("\n", " ")
    line = "no tuned runs of explodes, as none of its 2 trials got to the end with a score on validation"
    assert f"{line} (2 diverged)" in told
    assert "no tuned runs of kd" not in told


def test_a_damaged_record_of_a_trial_is_named_and_the_trial_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--tune", "2", "--epochs", "2", "--seeds", "0")
    assert run(tmp_path, *options, baselines=("kd",)) == 0
    before = {name: outcome(record) for name, record in trials(tmp_path).items()}
    damaged = sorted((tmp_path / "t" / "trials").glob("*/record.json"))[0]
    damaged.write_text("{")
    assert run(tmp_path, *options, baselines=("kd",)) == 0
    assert f"{damaged} can't be read" in capsys.readouterr().out
    assert {name: outcome(record) for name, record in trials(tmp_path).items()} == before


def test_a_trial_whose_code_fails_is_told_and_costs_nobody_else(tmp_path: Path) -> None:
    @baseline("tumbles", title="Tumbles")
    class Tumbles(Distiller):
        def forward(self, teacher, student, batch, progress):
            raise KeyError("bank")

    options = ("--tune", "2", "--epochs", "2", "--seeds", "0")
    assert run(tmp_path, *options, baselines=("kd", "tumbles")) == 1
    found = trials(tmp_path)
    assert {name: record.status for name, record in found.items() if "tumbles" in name} == {
        "tumbles 0": "failed",
        "tumbles 1": "failed",
    }
    assert found["tumbles 0"].reason == "KeyError: 'bank'"
    assert len(list((tmp_path / "t" / "trials").glob("*tumbles*/error.txt"))) == 2
    assert set(tuned(tmp_path)) == {"kd"}


def test_a_trial_that_is_run_again_is_halved_by_what_the_recorded_ones_had_at_its_rung(
    whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole / "t", tmp_path / "t")
    again = next(
        name
        for name, each in trials(whole).items()
        if name.startswith("kd ") and len(each.trial.validation) == 2  # pyright: ignore
    )
    for file in (tmp_path / "t" / "trials").glob("*/record.json"):
        content = json.loads(file.read_text())
        if again == f"{content['run']['baseline']} {content['trial']['number']}":
            shutil.rmtree(file.parent)
        elif len(content["trial"]["validation"]) > 2:
            content["trial"]["validation"][-1] = 0.0  # below all, later than the rung
            file.write_text(json.dumps(sealed(content)))
    assert run(tmp_path, *TUNE, "--seeds", "0", baselines=("kd",)) == 0
    assert outcome(trials(tmp_path)[again]) == outcome(trials(whole)[again])


def test_a_trial_that_failed_is_run_again(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole / "t", tmp_path / "t")
    file = next((tmp_path / "t" / "trials").glob("*trial_0_kd-*/record.json"))
    file.write_text(json.dumps(sealed(json.loads(file.read_text()) | {"status": "failed"})))
    assert trials(tmp_path)["kd 0"].status == "failed"
    assert run(tmp_path, *TUNE, "--seeds", "0", baselines=("kd",)) == 0
    assert outcome(trials(tmp_path)["kd 0"]) == outcome(trials(whole)["kd 0"])


def test_a_record_of_another_run_does_not_count(tmp_path: Path, registry: Registry) -> None:
    assert run(tmp_path, "--epochs", "1", "--seeds", "0", baselines=("kd",)) == 0
    words = [*TINY, *BARE, "--results-dir", str(tmp_path), "--baselines", "kd", "--epochs", "1", "--seeds"]
    here, other = (make_plan(parse([*words, seed]), registry).cohorts[0].runs[0] for seed in ("0", "1"))
    ledger = Ledger(tmp_path / "t", registry)
    assert ledger.record(here) is not None
    shutil.copytree(ledger.run_folder(here).path, ledger.run_folder(other).path)
    assert ledger.record(other) is None


def test_a_folder_where_a_trial_writes_costs_that_trial_alone(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (slug,) = (folder.name for folder in (whole / "t" / "trials").glob("*-trial_1_kd-*"))
    (tmp_path / "t" / "trials" / slug / "record.json").mkdir(parents=True)
    assert run(tmp_path, *TUNE, "--seeds", "0", "1", "2", baselines=NAMES) == 1
    assert f"{slug} failed: Is a directory" in capsys.readouterr().out.replace("\n", " ")
    (tmp_path / "t" / "trials" / slug / "record.json").rmdir()
    found, expected = trials(tmp_path), trials(whole)
    assert expected.keys() - found.keys() == {"kd 1"}
    assert {name: outcome(found[name]) for name in found if "kd" not in name} == {
        name: outcome(expected[name]) for name in expected if "kd" not in name
    }


def test_hidden_labels_and_test_data_decide_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong hidden labels, wrong test labels, other test images: trials, choice and weights stay."""
    options = ["--tune", "4", "--epochs", "4", "--seeds", "0", "--validation", "0.3"]
    options += ["--label-fraction", "0.5", "--teacher-data", "disjoint"]
    sides = {side: tmp_path / side for side in ("true", "false")}
    assert run(sides["true"], *options, baselines=NAMES) == 0
    cards = TinyTask.datasets
    hidden = hidden_samples(next(iter(trials(sides["true"]).values())))

    def falsified(request):
        data = tiny_data()
        labels = data.train.labels.clone()
        labels[hidden] = (labels[hidden] + 1) % len(data.classes)
        test = dataclasses.replace(
            data.test,
            modalities={name: 255 - x for name, x in data.test.modalities.items()},
            labels=(data.test.labels + 1) % len(data.classes),
        )
        return dataclasses.replace(data, train=dataclasses.replace(data.train, labels=labels), test=test)

    monkeypatch.setattr(
        TinyTask,
        "datasets",
        lambda task: {n: dataclasses.replace(card, load=falsified) for n, card in cards(task).items()},
    )
    # Splits are stratified by the true labels: those stay, and so do the facts that the first command kept.
    sides["false"].mkdir()
    (sides["true"] / "cache").rename(sides["false"] / "cache")
    monkeypatch.setattr(
        "benchmark.training.materials.splits_of", lambda _, split: splits_of(tiny_data(), split)
    )
    assert run(sides["false"], *options, baselines=NAMES) == 0
    true, false = (trials(folder) for folder in sides.values())
    assert true.keys() == false.keys()
    for name in true:
        assert outcome(true[name]) == outcome(false[name])
    runs = {side: few_labels(folder) for side, folder in sides.items()}
    assert runs["true"].keys() == runs["false"].keys()
    for slug, record in runs["true"].items():
        assert record.hyperparameters == runs["false"][slug].hyperparameters
        kept = [load_file(folder / "t" / "runs" / slug / "weights.safetensors") for folder in sides.values()]
        assert all(torch.equal(kept[0][key], kept[1][key]) for key in kept[0])


def few_labels(results: Path) -> dict[str, Record]:
    """The finished runs without those that may use all labels, by folder."""
    return {
        slug: record
        for slug, record in records(results).items()
        if record.condition.label_fraction < 1 and record.status == "finished"
    }


def hidden_samples(record: Record) -> torch.Tensor:
    """Places of the training samples of which nobody may use the label, under the condition of a record."""
    condition = {
        each.name: getattr(record.condition, each.name) for each in dataclasses.fields(SplitSettings)
    }
    splits = splits_of(tiny_data(), SplitSettings(**condition))
    hidden = splits.train[~splits.labelled]
    assert len(hidden) > 20
    assert not torch.isin(hidden, splits.teacher).any()
    return hidden


def test_no_trial_opens_the_test_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    for module in (artifacts, teachers):
        monkeypatch.setattr(module, "open_test", _spy(module.open_test, opened))
    from benchmark.evaluation import corrupted, evaluation

    for module in (corrupted, evaluation):
        monkeypatch.setattr(module, "open_test", _spy(module.open_test, opened))

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(tuning, "chosen_settings", stop)
    arguments = ("--tune", "2", "--epochs", "2", "--corruptions")
    assert run(tmp_path, *arguments, baselines=("scratch", "kd")) == 130
    assert len(opened) == 2  # for the teacher: its batch and its labels, and its scores


def _spy(function, opened: list):
    def spy(data):
        opened.append(data.name)
        return function(data)

    return spy


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--tune", "1"), "--tune 1: give 2 or more trials"),
        (("--tune", "4", "--validation", "0"), "no labelled validation sample: raise --validation"),
        (("--tune", "4", "--seeds", "1000"), "seed 1000 is that of the trials"),
    ],
)
def test_what_can_not_be_tuned_is_said_in_one_line(
    tmp_path: Path, options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, *options, baselines=("kd",)) == 2
    line = " ".join(capsys.readouterr().err.split())
    assert words in line


def test_a_dry_run_counts_what_is_recorded_of_tuning(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted((whole / "t").rglob("*"))
    for seeds, told in ((("0", "1", "2"), "recorded, 0 to do)"), (("0", "3"), "recorded, ")):
        assert run(whole, *TUNE, "--seeds", *seeds, "--dry-run", baselines=NAMES) == 0
        (line,) = [each for each in capsys.readouterr().out.splitlines() if each.startswith("before: ")]
        assert "(all recorded); after: " in line
        assert told in line
    assert f"({len(NAMES)} recorded, {len(NAMES)} to do)" in line
    assert sorted((whole / "t").rglob("*")) == before


def test_a_dry_run_counts_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--tune", "4", "--dry-run", baselines=("kd", "scratch")) == 0
    assert "before: 8 trials of tuning in 1 cohort; after: 2 runs more" in capsys.readouterr().out
