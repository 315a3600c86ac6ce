"""Second views in training: made once for all who ask, seen by nobody else, paid for by those who ask."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from benchmark import Context, Distiller, NotApplicable, Stage, baseline
from benchmark.data import batches
from benchmark.planning.hyperparameters import resolve_hyperparameters
from benchmark.plugins import Registry
from benchmark.running.device import make_fabric
from benchmark.speed import Report, Speed, measure, show
from benchmark.training.composition import build_distiller, check_view
from benchmark.training.loop import Loop
from tests.baselines.shapes import activations
from tests.command import numbers, records, run
from tests.training.test_composition import CONTEXT

STEPS = 6
"""Of an epoch of the tiny task, which trains for two."""


def numbers_of(results: Path, name: str) -> tuple:
    """The results of a baseline's run, and its weights."""
    found = {record.run.baseline: (slug, record) for slug, record in records(results).items()}
    slug, record = found[name]
    state = load_file(results / "t" / "runs" / slug / "weights.safetensors")
    return numbers(record), {key: value.tolist() for key, value in state.items()}


def spy_on_views(patch: pytest.MonkeyPatch) -> list[str]:
    """The views that are made from here on, one by one."""
    made: list[str] = []
    make = batches.second_view

    def spy(view, *arguments):
        made.append(view)
        return make(view, *arguments)

    patch.setattr(batches, "second_view", spy)
    return made


@pytest.mark.parametrize("student", ["tiny_small", "tiny_dropout"])
@pytest.mark.parametrize("name", ["kd", "crd", "mlkd", "sskd"])
def test_a_run_is_bit_identical_whether_or_not_others_ask_for_a_view(
    name: str, student: str, tmp_path: Path
) -> None:
    pair = ("--pairs", f"tiny_big-{student}")
    assert run(tmp_path / "alone", *pair, baselines=(name,)) == 0
    assert run(tmp_path / "together", *pair, baselines=("sskd", "crd", "mlkd", "kd", "crld")) == 0
    assert numbers_of(tmp_path / "alone", name) == numbers_of(tmp_path / "together", name)


def test_a_view_and_the_teachers_pass_over_it_are_made_once_a_step_for_all_who_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, baselines=("kd",))  # trains the teacher
    passes = []
    teacher_pass = Loop._teacher_pass
    monkeypatch.setattr(
        Loop, "_teacher_pass", lambda self, batch: passes.append(1) or teacher_pass(self, batch)
    )
    made = spy_on_views(monkeypatch)
    run(tmp_path, baselines=("kd", "mlkd", "crld", "dkd"))
    assert made == ["strong"] * 2 * STEPS
    assert len(passes) == 2 * 2 * STEPS


def test_where_nobody_asks_no_view_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = spy_on_views(monkeypatch)
    assert run(tmp_path, baselines=("kd", "crd", "mlkd_single_view")) == 0
    assert made == []


def test_who_asks_sees_it_and_who_does_not_sees_none(tmp_path: Path) -> None:
    seen: dict[str, list] = {"strong": [], "rotated": [], "": []}

    for view in seen:

        @baseline(f"asks_{view}", title="Asks")
        class Asks(Distiller):
            second_view = view

            def forward(self, teacher, student, batch, progress):
                seen[self.second_view].append((teacher.second, student.second, batch["index"]))
                assert not any(key for key in batch if "second" in key)
                return {"none": 0 * student.logits.sum()}

    assert run(tmp_path, baselines=("asks_strong", "asks_", "asks_rotated")) == 0
    assert len(seen[""]) == len(seen["strong"]) == len(seen["rotated"]) == 2 * STEPS
    assert all(theirs is None and ours is None for theirs, ours, _ in seen[""])
    for view, rows in (("strong", 32), ("rotated", 96)):
        for theirs, ours, index in seen[view]:
            assert len(index) == 32
            assert theirs.logits.shape == ours.logits.shape == (rows, 6)
            assert not theirs.logits.requires_grad
            assert ours.logits.requires_grad
            assert ours.second is None


def test_a_run_that_fails_in_the_middle_of_an_epoch_changes_the_view_of_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @baseline("stumbles", title="Stumbles")
    class Stumbles(Distiller):
        second_view = "strong"

        def forward(self, teacher, student, batch, progress):
            if progress.step == 2:
                raise KeyError("a mistake in a plugin")
            return {"none": 0 * student.second.logits.sum()}

    run(tmp_path / "alone", baselines=("mlkd",))
    assert run(tmp_path / "together", baselines=("stumbles", "mlkd")) == 1
    assert numbers_of(tmp_path / "alone", "mlkd") == numbers_of(tmp_path / "together", "mlkd")
    made = spy_on_views(monkeypatch)
    run(tmp_path / "without", baselines=("kd", "stumbles"))
    assert len(made) == 3  # the step of its mistake was its last one


def test_those_who_ask_share_the_view_and_the_teachers_pass_over_it(tmp_path: Path) -> None:
    run(tmp_path, baselines=("scratch", "kd", "mlkd", "crld"))
    found = {
        r.run.baseline: r.measurements for r in records(tmp_path).values() if r.measurements.cohort_size == 4
    }
    shares = {name: each.teacher_share_ms for name, each in found.items()}
    assert shares["scratch"] == 0 < shares["kd"] < shares["mlkd"] == shares["crld"]
    data = {name: each.data_share_ms for name, each in found.items()}
    assert data["scratch"] == data["kd"] < data["mlkd"] == data["crld"]


def test_first_stages_see_the_view_of_their_own_batches(tmp_path: Path) -> None:
    seen: list[int] = []

    @baseline("prepares", title="Prepares")
    class Prepares(Distiller):
        second_view = "rotated"

        @classmethod
        def stage_shares(cls, hyperparameters):
            return (0.5,)

        def first_stages(self):
            return (Stage("first", 0.5, self.look, trains_student=True),)

        def look(self, teacher, student, batch, progress):
            seen.append(len(teacher.second.logits))
            return {"look": (student.second.embedding - 1).square().mean()}

    assert run(tmp_path, baselines=("prepares",)) == 0
    assert seen == [96] * STEPS
    (record,) = (each for each in records(tmp_path).values() if each.run.baseline == "prepares")
    assert record.measurements.first_stages_s > 0


@pytest.mark.parametrize(("view", "rows"), [("strong", 64), ("rotated", 192)])
def test_diagnostics_show_the_view_too_the_same_whenever_they_are_taken(
    view: str, rows: int, tmp_path: Path
) -> None:
    @baseline("looks", title="Looks")
    class Looks(Distiller):
        second_view = view

        def diagnostics(self, teacher, student, batch):
            assert student.second is not None
            return {"answers": teacher.second.logits.cpu().numpy()}

    assert run(tmp_path, baselines=("looks",)) == 0
    (file,) = (tmp_path / "t" / "runs").glob("*-looks-*/arrays.npz")
    with np.load(file) as arrays:
        early, late = (arrays[f"{when}.answers"] for when in ("diagnostics_first", "diagnostics"))
    assert early.shape == (rows, 6)
    assert np.array_equal(early, late)


def test_a_pair_that_sees_something_else_than_images_is_not_applicable_with_the_reason(
    tmp_path: Path,
) -> None:
    arguments = ("--datasets", "senses", "--pairs", "all-signal")
    assert run(tmp_path, *arguments, baselines=("mlkd", "sskd", "kd"), task="tiny_senses") == 0
    found = {record.run.baseline: record for record in records(tmp_path).values()}
    assert (found["mlkd"].status, found["sskd"].status) == ("not_applicable", "not_applicable")
    assert found["mlkd"].reason.startswith("its strong view takes RGB images in 0..255")
    assert found["sskd"].reason.startswith("its rotated view takes square images")
    assert found["kd"].status == "finished"


def with_views(*views: str) -> Context:
    return dataclasses.replace(CONTEXT, views=frozenset(views))


def test_a_composition_has_the_view_of_its_parts_and_two_views_do_not_compose(registry: Registry) -> None:
    def composed(name: str) -> Distiller:
        parts = registry.parts(name)
        both = with_views("strong", "rotated")
        return build_distiller(parts, both, resolve_hyperparameters(parts, {}, {}))

    assert composed("kd+mlkd").second_view == composed("mlkd+kd").second_view == "strong"
    assert composed("crld+mlkd").second_view == "strong"
    assert composed("kd+sskd").second_view == "rotated"
    assert composed("kd+crd").second_view == ""
    with pytest.raises(NotApplicable, match="different second views"):
        composed("mlkd+sskd")


def test_a_composition_trains_with_the_view(tmp_path: Path) -> None:
    assert run(tmp_path, baselines=("kd+sskd", "kd")) == 0
    assert {record.status for record in records(tmp_path).values()} == {"finished"}


def test_a_view_that_the_data_does_not_give_is_refused() -> None:
    check_view("", with_views())
    check_view("strong", with_views("strong"))
    with pytest.raises(NotApplicable, match="RGB images"):
        check_view("strong", with_views("rotated"))


def test_a_misspelt_view_is_refused_with_the_files_name() -> None:
    with pytest.raises(ValueError, match=r"test_second_views\.py: baseline 'odd'.*second_view is 'storng'"):

        @baseline("odd", title="Odd")
        class Odd(Distiller):
            second_view = "storng"


def test_activations_change_in_both_views() -> None:
    shown = activations(((4, 4),), second=18).map(lambda x: torch.zeros_like(x))
    assert shown.second is not None
    assert shown.second.logits.shape[0] == 18
    assert shown.second.maps[0].abs().max() == shown.logits.abs().max() == 0


def test_the_speed_command_times_second_views_apart(registry: Registry) -> None:
    fabric = make_fabric("cpu", "32")
    for names, shown in ((("kd", "mlkd", "sskd"), True), (("kd",), False)):
        speed = Speed("tiny_big-tiny_small", names, steps=2, repeats=1, samples=240, classes=6, device="cpu")
        done = measure(speed, registry, fabric, lambda line: None)
        assert done.alone["kd"][0].second == 0
        assert (done.together[0].second > 0) is shown
        text = io.StringIO()
        show(Report(speed, fabric, done), Console(file=text, width=100))
        assert ("second views" in text.getvalue()) is shown
