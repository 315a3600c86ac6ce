"""The law of the cohort: whoever trains beside a run, its weights and results are bit-identical."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmark import Distiller, baseline
from benchmark.training import cohort, loop, snapshots
from benchmark.writing import before
from tests.command import numbers, records, run

THREE = ("kd", "crd", "wcord")


def weights(results: Path, name: str) -> dict[str, torch.Tensor]:
    (file,) = (results / "t" / "runs").glob(f"*-{name}-seed0-*/weights.safetensors")
    return load_file(file)


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """How many threads torch computes with: the law holds with any number, if it is one and the same."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("pair", "labels", "threads"),
    [
        ("tiny_big-tiny_small", "1.0", 1),
        ("tiny_big-tiny_small", "0.1", 1),
        ("tiny_big-tiny_dropout", "1.0", 1),
        ("tiny_big-tiny_dropout", "0.1", 1),
        ("tiny_big-tiny_dropout", "0.1", 2),
    ],
    indirect=["threads"],
)
def test_alone_in_company_and_in_another_order_a_run_is_bit_identical(
    tmp_path: Path, pair: str, labels: str, threads: int
) -> None:
    assert torch.get_num_threads() == threads
    companies = {"alone": THREE[2:], "three": THREE, "backwards": THREE[::-1]}
    for company, names in companies.items():
        assert run(tmp_path / company, "--pairs", pair, "--label-fraction", labels, baselines=names) == 0
    reference = weights(tmp_path / "alone", THREE[2])
    for company in ("three", "backwards"):
        other = weights(tmp_path / company, THREE[2])
        assert reference.keys() == other.keys()
        assert all(torch.equal(reference[key], other[key]) for key in reference)
        for slug, record in records(tmp_path / "alone").items():
            assert numbers(record) == numbers(records(tmp_path / company)[slug])


def test_the_order_of_a_cohort_is_really_another_one_in_that_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[list[str]] = []
    train = cohort.CohortTraining.train

    def spy(self, *arguments):
        trained.append([state.name for state in self.states])
        return train(self, *arguments)

    monkeypatch.setattr(cohort.CohortTraining, "train", spy)
    run(tmp_path / "a", baselines=THREE)
    run(tmp_path / "b", baselines=THREE[::-1])
    assert sorted(trained[0]) == sorted(trained[1])
    assert trained[0] != trained[1]


@pytest.mark.parametrize("threads", [1, 2], indirect=True)
def test_a_deleted_record_reruns_only_that_run_with_the_same_numbers(tmp_path: Path, threads: int) -> None:
    run(tmp_path, baselines=THREE)
    before = records(tmp_path)
    slug = next(name for name in before if "-crd-" in name)
    (tmp_path / "t" / "runs" / slug / "record.json").unlink()
    run(tmp_path, baselines=THREE)
    after = records(tmp_path)
    assert numbers(after[slug]) == numbers(before[slug])
    for other in before.keys() - {slug}:
        assert after[other] == before[other]
    assert after[slug].measurements.cohort_size == 1


def test_whoever_learns_from_no_teacher_pays_nothing_for_its_pass(tmp_path: Path) -> None:
    run(tmp_path, baselines=("scratch", "kd", "crd"))
    shares = {r.run.baseline: r.measurements.teacher_share_ms for r in records(tmp_path).values()
              if r.measurements.cohort_size == 3}  # fmt: skip
    assert shares["scratch"] == 0
    assert shares["kd"] == shares["crd"] > 0


def test_a_diverging_student_is_retired_and_the_others_go_on_unchanged(tmp_path: Path) -> None:
    @baseline("explodes", title="Explodes")
    class Explodes(Distiller):
        def forward(self, teacher, student, batch, progress):
            return {"explodes": student.logits.mean() * (float("nan") if progress.step == 9 else 1.0)}

    run(tmp_path / "with", baselines=("kd", "explodes"))
    run(tmp_path / "without", baselines=("kd",))
    together, alone = records(tmp_path / "with"), records(tmp_path / "without")
    for slug, record in alone.items():
        assert numbers(together[slug]) == numbers(record)
    (bad,) = [record for slug, record in together.items() if "-explodes-" in slug]
    assert bad.status == "diverged"
    assert bad.reason == "not finite in epoch 2: task, explodes"


def test_a_student_without_finite_answers_has_diverged_and_has_no_score(
    tmp_path: Path,
) -> None:
    @baseline("overflows", title="Overflows")
    class Overflows(Distiller):
        def predict(self, student):
            return student.logits * (1.0 if self.training else float("nan"))

    assert run(tmp_path, baselines=("kd", "overflows")) == 0
    statuses = {record.run.baseline: record for record in records(tmp_path).values()}
    assert statuses["kd"].status == "finished"
    bad = statuses["overflows"]
    assert (bad.status, bad.reason) == ("diverged", "its predictions are not finite")
    assert not bad.results.scores


@pytest.mark.parametrize(
    "method", ["__init__", "forward", "first_stages", "task_loss", "predict", "diagnostics"]
)
def test_a_mistake_in_a_baseline_ends_that_run_alone_and_the_command_with_1(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(self, *arguments, **options):
        raise KeyError("a mistake in a plugin")

    baseline("breaks", title="Breaks")(type("Breaks", (Distiller,), {"__module__": __name__, method: breaks}))
    assert run(tmp_path, baselines=("kd", "breaks")) == 1
    assert "a mistake in a plugin" in capsys.readouterr().out
    found = {record.run.baseline: record for record in records(tmp_path).values()}
    assert {name: record.status for name, record in found.items()} == {"kd": "finished", "breaks": "failed"}
    assert "a mistake in a plugin" in found["breaks"].reason
    (error,) = (tmp_path / "t" / "runs").glob("*-breaks-*/error.txt")
    assert "Traceback" in error.read_text()
    assert run(tmp_path / "alone", baselines=("breaks",)) == 1
    assert "a mistake in a plugin" in capsys.readouterr().out


def test_students_of_one_seed_start_alike_and_those_of_another_seed_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[torch.Tensor]] = []
    train = cohort.CohortTraining.train

    def spy(self, *arguments):
        started.append([state.learner.network.stem.weight.detach().clone() for state in self.states])
        return train(self, *arguments)

    monkeypatch.setattr(cohort.CohortTraining, "train", spy)
    run(tmp_path, "--seeds", "0", "1", baselines=THREE)
    first, second = started
    assert len(first) == len(second) == 3
    assert all(torch.equal(weight, first[0]) for weight in first)
    assert not torch.equal(first[0], second[0])


class Killer:
    """Interrupts a command before its n-th epoch, teachers' epochs counted; counts the epochs that ran."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int):
        self.epochs = 0
        one_epoch = loop.Loop._one_epoch

        def counted(training, *arguments):
            if self.epochs == at:
                raise KeyboardInterrupt
            self.epochs += 1
            return one_epoch(training, *arguments)

        patch.setattr(loop.Loop, "_one_epoch", counted)


def weights_and_numbers(results: Path) -> dict[str, tuple]:
    found = {}
    for slug, record in records(results).items():
        folder = results / "t" / "runs" / slug
        state = load_file(folder / "weights.safetensors")
        history = (folder / "history.jsonl").read_text()
        with np.load(folder / "arrays.npz") as arrays:
            state |= arrays
        found[slug] = (numbers(record), history, {name: value.tolist() for name, value in state.items()})
    return found


GRID = ("--seeds", "0", "1", "--epochs", "4", "--pairs", "tiny_big-tiny_dropout")
GRID_OF = (*THREE, "mlkd")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple]:
    """What the grid leaves that nobody stops."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(folder, *GRID, baselines=GRID_OF) == 0
    return weights_and_numbers(folder)


@pytest.mark.parametrize("minutes", [0.0, 1e9], ids=["with snapshots", "without"])
@pytest.mark.parametrize("at", [2, 5, 8], ids=["in the teacher", "in the first cohort", "in the second"])
def test_killed_and_started_again_a_command_leaves_the_same_weights_and_numbers(
    at: int,
    minutes: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: dict[str, tuple],
) -> None:
    arguments = (*GRID, "--snapshot-minutes", str(minutes))
    with monkeypatch.context() as patch:
        Killer(patch, at)
        assert run(tmp_path, *arguments, baselines=GRID_OF) == 130
    with monkeypatch.context() as patch:
        rest = Killer(patch, at=1000)
        assert run(tmp_path, *arguments, baselines=GRID_OF) == 0
    assert weights_and_numbers(tmp_path) == undisturbed
    assert not list(tmp_path.rglob("snapshot.pt"))
    unfinished = {2: 0, 5: 3, 8: 7}[at]
    assert rest.epochs == 3 + 2 * 4 - (at if minutes == 0.0 else unfinished)


def test_runs_stopped_at_different_epochs_go_on_to_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "whole", "--epochs", "4", baselines=THREE)
    for names, at in ((THREE[:1], 5), (THREE[1:2], 3)):
        with monkeypatch.context() as patch:
            Killer(patch, at)
            run(tmp_path / "killed", "--epochs", "4", "--snapshot-minutes", "0", baselines=names)
    run(tmp_path / "killed", "--epochs", "4", baselines=THREE)
    assert weights_and_numbers(tmp_path / "whole") == weights_and_numbers(tmp_path / "killed")


def killed_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The last snapshot and the one before of a run that was killed after two of its epochs."""
    run(tmp_path / "whole", "--epochs", "4", baselines=("kd",))
    with monkeypatch.context() as patch:
        Killer(patch, 5)
        run(tmp_path / "killed", "--epochs", "4", "--snapshot-minutes", "0", baselines=("kd",))
    (snapshot,) = (tmp_path / "killed" / "t").rglob("snapshot.pt")
    return snapshot, before(snapshot)


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "a folder", "gone"])
def test_of_a_damaged_snapshot_the_one_before_stands_in(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    last, earlier = killed_runs(tmp_path, monkeypatch)
    assert earlier.exists()
    if damage == "cut":
        last.write_bytes(last.read_bytes()[:200])
    elif damage == "flipped":
        flip(last, last.stat().st_size // 2)
    elif damage == "emptied":
        last.write_bytes(b"")
    else:
        last.unlink()
        if damage == "a folder":
            last.mkdir()
    capsys.readouterr()
    status = run(tmp_path / "killed", "--epochs", "4", baselines=("kd",))
    told = capsys.readouterr().out.replace("\n", " ")
    if damage != "gone":
        assert "snapshot.pt is damaged" in told
        assert "goes on from the one before (epoch 2, step" in told
    assert status == 0
    assert weights_and_numbers(tmp_path / "whole") == weights_and_numbers(tmp_path / "killed")


def test_without_a_whole_snapshot_the_run_starts_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in killed_runs(tmp_path, monkeypatch):
        flip(file, -1)
    capsys.readouterr()
    run(tmp_path / "killed", "--epochs", "4", baselines=("kd",))
    assert "starts over" in capsys.readouterr().out
    assert weights_and_numbers(tmp_path / "whole") == weights_and_numbers(tmp_path / "killed")


@pytest.mark.slow
def test_no_flipped_bit_of_a_snapshot_goes_unnoticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last, _ = killed_runs(tmp_path, monkeypatch)
    content = last.read_bytes()
    for place in range(0, len(content), max(1, len(content) // 600)):
        flip(last, place)
        with pytest.raises(ValueError, match="not what was written"):
            snapshots._read(last)
        flip(last, place)
    assert last.read_bytes() == content
