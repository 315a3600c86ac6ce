"""Faults of a long grid: each costs its own run, is told in a line, and alters no other number."""

from __future__ import annotations

import errno
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmark import Distiller, NotApplicable, Stage, baseline, plugins
from benchmark.running.store import RunFolder
from benchmark.training import snapshots
from benchmark.training.checkpoint import save_weights
from tests.command import numbers, records, run
from tests.tiny_task import TinyNetwork
from tests.training.test_law_of_the_cohort import weights_and_numbers

THREE = ("scratch", "kd", "crd")


@pytest.mark.parametrize("damage", ["a number", "cut", "gone", "record"])
def test_a_damaged_teacher_is_trained_again_from_its_beginning(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "whole", baselines=THREE)
    run(tmp_path / "hurt", baselines=THREE[:1])
    (file,) = (tmp_path / "hurt" / "teachers").rglob("weights.safetensors")
    if damage == "a number":
        state = load_file(file)
        state["classifier.weight"][0, 0] += 100.0
        save_file(state, file)
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-64])
    elif damage == "gone":
        file.unlink()
    else:
        record = file.with_name("record.json")
        record.write_text(record.read_text().replace('"total_s": ', '"total_s": 1'))
    capsys.readouterr()
    assert run(tmp_path / "hurt", baselines=THREE) == 0
    assert "training this teacher again" in capsys.readouterr().out
    assert weights_and_numbers(tmp_path / "whole") == weights_and_numbers(tmp_path / "hurt")


def test_a_teacher_that_diverges_costs_its_own_cohorts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The pair's teacher can't be trained; that of the student's architecture can, and its pupil is there."""

    class Wild(TinyNetwork):
        def show(self, x):
            shown = super().show(x)
            return shown.map(lambda each: each * float("nan")) if self.training else shown

    monkeypatch.setitem(
        plugins.registry.architectures, "tiny_big", lambda shapes, k: Wild(shapes[0][0], k, 12)
    )
    names = (*THREE, "self_distillation")
    assert run(tmp_path, "--seeds", "0", "1", baselines=names) == 1
    told = capsys.readouterr().out.replace("\n", " ")
    assert told.count("teacher tiny_big on stripes: not finite in epoch 1") == 2, "a line for each cohort"
    assert told.count("3 runs that would learn from it were not trained") == 2
    assert told.count("teacher tiny_big on stripes (") == 1, "it was trained again for the second seed"
    assert [each.run.baseline for each in records(tmp_path).values()] == ["self_distillation"] * 2


def test_a_teacher_without_finite_answers_costs_its_own_cohorts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = TinyNetwork.show

    def show(self, x):
        shown = asked(self, x)
        lost = not self.training and self.stem.out_channels == 12
        return replace(shown, logits=shown.logits * (float("nan") if lost else 1.0))

    monkeypatch.setattr(TinyNetwork, "show", show)
    assert run(tmp_path, baselines=("kd",)) == 1
    told = capsys.readouterr().out.replace("\n", " ")
    assert "teacher tiny_big on stripes: its predictions are not finite" in told


@pytest.mark.parametrize(
    "obstacle", ["record.json", "history.jsonl", "arrays.npz", "outputs.npz", "weights.safetensors"]
)
def test_a_folder_where_a_run_writes_costs_that_run_alone(
    obstacle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "whole", baselines=THREE)
    (slug,) = (each for each in records(tmp_path / "whole") if "-kd-" in each)
    (tmp_path / "hurt" / "t" / "runs" / slug / obstacle).mkdir(parents=True)
    assert run(tmp_path / "hurt", baselines=THREE) == 1
    told = capsys.readouterr().out.replace("\n", " ")
    assert f"{slug} failed: Is a directory" in told
    assert obstacle in told
    (tmp_path / "hurt" / "t" / "runs" / slug / obstacle).rmdir()
    found = records(tmp_path / "hurt")
    assert len(found) == 2
    for name, record in found.items():
        assert numbers(record) == numbers(records(tmp_path / "whole")[name])
    assert run(tmp_path / "hurt", baselines=THREE) == 0
    assert weights_and_numbers(tmp_path / "whole") == weights_and_numbers(tmp_path / "hurt")


def test_a_full_disk_ends_the_command_in_one_line_and_it_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "whole", baselines=THREE)

    def full(self, record):
        raise OSError(errno.ENOSPC, "No space left on device", str(self.record))

    with monkeypatch.context() as patch:
        written = iter([RunFolder.finish, RunFolder.finish])  # the teacher's and the first run's
        patch.setattr(RunFolder, "finish", lambda self, record: next(written, full)(self, record))
        capsys.readouterr()
        assert run(tmp_path / "hurt", baselines=THREE) == 2
    told = capsys.readouterr().err.replace("\n", " ")
    assert "No space left on device; make room and start the same command again" in told
    assert len(records(tmp_path / "hurt")) == 1
    assert run(tmp_path / "hurt", baselines=THREE) == 0
    assert weights_and_numbers(tmp_path / "whole") == weights_and_numbers(tmp_path / "hurt")


def test_snapshots_that_can_not_be_written_are_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "whole", baselines=THREE)

    def full(file, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(snapshots, "_write", full)
    capsys.readouterr()
    assert run(tmp_path / "hurt", "--snapshot-minutes", "0", baselines=THREE) == 0
    told = capsys.readouterr().out.replace("\n", " ")
    assert told.count("snapshot.pt can't be written (No space left on device)") == 2, "teacher, cohort"
    assert weights_and_numbers(tmp_path / "whole") == weights_and_numbers(tmp_path / "hurt")


@contextmanager
def files_limited(size: int) -> Iterator[None]:
    """The system itself lets no file of this process grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("write", ["weights", "snapshot"])
def test_what_the_system_refuses_to_write_is_an_os_error_and_leaves_the_file_before(
    write: str, tmp_path: Path
) -> None:
    file = tmp_path / write
    file.write_bytes(b"before")
    content = {"x": torch.zeros(100_000)}
    with files_limited(65536), pytest.raises(OSError, match="File too large"):
        save_weights(content, file) if write == "weights" else snapshots._write(file, content)
    assert file.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [file]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes; the test is skipped where this user may not mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True, timeout=20)


def test_a_disk_that_is_full_in_a_first_stage_fails_no_baseline_and_the_command_goes_on_later(
    tmp_path: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ballast, wanted = small_disk / "ballast", False

    def loss(teacher, student, batch, progress):
        if wanted and not ballast.exists():
            with suppress(OSError), ballast.open("wb", buffering=0) as stream:
                while True:
                    stream.write(bytes(4096))
        return {"s": student.embedding.square().mean()}

    @baseline("staged", title="Staged")
    class Staged(Distiller):
        @classmethod
        def stage_shares(cls, hyperparameters):
            return (0.5,)

        def first_stages(self):
            return (Stage("first", 0.5, loss, trains_student=True),)

    names = ("scratch", "staged")
    assert run(tmp_path / "whole", baselines=names) == 0
    wanted = True
    capsys.readouterr()
    assert run(small_disk, "--snapshot-minutes", "0", baselines=names) == 2
    told = capsys.readouterr()
    assert "snapshot.pt can't be written (No space left on device)" in told.out.replace("\n", " ")
    assert "No space left on device; make room and start the same command again" in told.err.replace(
        "\n", " "
    )
    wanted = False
    ballast.unlink()
    assert run(small_disk, baselines=names) == 0
    assert weights_and_numbers(tmp_path / "whole") == weights_and_numbers(small_disk)


def scribbler(name: str, change) -> None:
    """Registers a baseline that changes what all learners are shown from its second step on."""

    @baseline(name, title="Scribbles")
    class Scribbles(Distiller):
        def forward(self, teacher, student, batch, progress):
            if progress.step:
                change(teacher, batch)
            return {"scribbles": student.logits.square().mean()}


@pytest.mark.parametrize(
    "change",
    [
        lambda teacher, batch: teacher.logits.div_(4),
        lambda teacher, batch: teacher.maps[-1].zero_(),
        lambda teacher, batch: batch["label"].fill_(0),
        lambda teacher, batch: next(x for x in batch.values() if x.is_floating_point()).add_(1),
    ],
    ids=["logits", "a map", "labels", "the image"],
)
def test_who_changes_what_all_are_shown_fails_and_alters_nobody(change, tmp_path: Path) -> None:
    scribbler("a_scribbles", change)
    scribbler("z_scribbles", change)
    company = ("a_scribbles", "kd", "crd", "z_scribbles")
    run(tmp_path / "alone", "--label-fraction", "0.5", baselines=("kd", "crd"))
    assert run(tmp_path / "beside", "--label-fraction", "0.5", baselines=company) == 1
    alone = records(tmp_path / "alone")
    for slug, record in records(tmp_path / "beside").items():
        if record.run.baseline.endswith("scribbles"):
            assert record.status == "failed"
            assert "changes in place what all learners are shown" in record.reason
        else:
            assert numbers(record) == numbers(alone[slug])


def test_a_baseline_that_wants_to_end_the_program_ends_itself(tmp_path: Path) -> None:
    @baseline("leaves", title="Leaves")
    class Leaves(Distiller):
        def forward(self, teacher, student, batch, progress):
            raise SystemExit(0)

    @baseline("never_comes", title="Never comes")
    class NeverComes(Distiller):
        def __init__(self, context, **other):
            raise SystemExit(0)

    assert run(tmp_path, baselines=("kd", "leaves", "never_comes")) == 1
    statuses = {record.run.baseline: record.status for record in records(tmp_path).values()}
    assert statuses == {"kd": "finished", "leaves": "failed", "never_comes": "failed"}


def test_an_error_whose_text_no_file_can_hold_fails_its_own_baseline(tmp_path: Path) -> None:
    """Half a letter: what a file's name may hold, and UTF-8 may not."""

    @baseline("half_a_letter", title="Half a letter")
    class HalfALetter(Distiller):
        def forward(self, teacher, student, batch, progress):
            raise ValueError("it can't open \udcff")

    @baseline("half_a_reason", title="Half a reason")
    class HalfAReason(Distiller):
        def __init__(self, context, **other):
            raise NotApplicable("not with \udcff")

    assert run(tmp_path, baselines=("kd", "half_a_letter", "half_a_reason")) == 1
    reasons = {record.run.baseline: record.reason for record in records(tmp_path).values()}
    assert reasons == {
        "kd": "",
        "half_a_letter": r"ValueError: it can't open \udcff",
        "half_a_reason": r"not with \udcff",
    }


def test_files_that_a_killed_command_left_are_cleared(tmp_path: Path) -> None:
    run(tmp_path, baselines=("kd",))
    (folder,) = (tmp_path / "t" / "runs").iterdir()
    for name in ("snapshot.pt", "snapshot.before.pt", ".record.json.123", ".weights.safetensors.77"):
        (folder / name).write_bytes(b"left")
    (folder.parent / f"{folder.name}.lock").touch()
    assert run(tmp_path, baselines=("kd", "scratch")) == 0
    assert not [file for file in tmp_path.rglob("*") if file.name.startswith(".") or "snapshot" in file.name]
    assert not list(tmp_path.rglob("*.lock"))
    assert torch.is_tensor(next(iter(load_file(folder / "weights.safetensors").values())))
