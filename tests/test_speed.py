"""The speed command: every part is timed, what is compared is the same, and bounds are kept to."""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import math
import multiprocessing
import statistics
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch.nn import functional as F

from benchmark import Distiller, baseline, plugins
from benchmark.contracts import Comparison, DatasetCard
from benchmark.errors import UserError
from benchmark.plugins import Registry
from benchmark.running.device import make_fabric
from benchmark.speed import Bench, Report, Speed, make_materials, measure, show
from benchmark.speed.__main__ import main, report_of
from benchmark.speed.bench import make_bench
from benchmark.speed.choices import choices
from benchmark.speed.content import write
from benchmark.speed.floor import SIDES, Floor, macs, matrix_rate
from benchmark.speed.growth import grow
from benchmark.speed.parts import watched
from benchmark.speed.plain import Images, PlainLoop
from benchmark.speed.rivals import compare
from benchmark.speed.spread import Spread
from benchmark.training.stopwatch import Stopwatch
from tests.tiny_task import TinyTask, tiny_data

NAMES = ("scratch", "kd", "wcord")
FABRIC = make_fabric("cpu", "32")
TINY = Speed(
    "tiny_big-tiny_small",
    NAMES,
    steps=4,
    repeats=1,
    samples=240,
    classes=6,
    device="cpu",
    measure=("cohort", "alone", "plain"),
)


def shown(report: Report) -> str:
    text = io.StringIO()
    show(report, Console(file=text, width=150))
    return text.getvalue()


def ignored(line: str) -> None:
    """What nobody wants to be told."""


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Speed:
    """Settings of a tiny task whose data counts as real, whatever folder is given."""
    embedded = TinyTask.datasets

    def datasets(task: TinyTask) -> dict[str, DatasetCard]:
        return {name: dataclasses.replace(card, synthetic=False) for name, card in embedded(task).items()}

    monkeypatch.setattr(TinyTask, "datasets", datasets)
    return dataclasses.replace(TINY, data_dir=Path("anywhere"), batch_size=32)


@pytest.fixture(scope="module")
def timed(registry: Registry) -> Report:
    """A cohort and its runs alone, three repeats."""
    return report_of(dataclasses.replace(TINY, repeats=3), registry, FABRIC, ignored)


def test_every_part_is_timed_and_printed(timed: Report) -> None:
    assert set(timed.alone) == set(NAMES)
    for cohort in timed.together:
        assert set(cohort.own) == set(cohort.parts) == set(NAMES)
        assert all(ms > 0 for ms in (*cohort.own.values(), cohort.teacher, cohort.data))
        assert cohort.wall >= cohort.shared + sum(cohort.own.values())
    for name in (*NAMES, "teacher pass", "cohort/alone", "cohort/parts", "overhead", "samples per second"):
        assert name in shown(timed)


def test_the_parts_of_a_step_fill_it(timed: Report) -> None:
    shares = []
    for timing in (*timed.together, *(each for timings in timed.alone.values() for each in timings)):
        for name, parts in timing.parts.items():
            assert min(parts.student, parts.loss, parts.backward, parts.optimiser) > 0
            assert parts.total < timing.own[name]
            shares.append(parts.total / timing.own[name])
    assert statistics.median(shares) > 0.5


def test_the_loss_of_a_contrast_costs_more_than_cross_entropy(timed: Report) -> None:
    contrast, plain = (
        statistics.median(each.parts[name].loss for each in timed.together) for name in ("wcord", "scratch")
    )
    assert contrast > 2 * plain


def test_watching_a_training_changes_no_bit_of_it_and_leaves_nothing_behind(registry: Registry) -> None:
    bench = make_bench(TINY, registry, FABRIC)
    weights = []
    for watching in (False, True):
        training = bench.training(bench.materials.spec.runs)
        if watching:
            with watched(training.states, FABRIC, Stopwatch(FABRIC.device)):
                training.advance(None, None, lambda run, entry: None)
        else:
            training.advance(None, None, lambda run, entry: None)
        weights.append([state.learner.state_dict() for state in training.states])
        assert "backward" not in vars(FABRIC)
        for state in training.states:
            assert not state.learner._forward_hooks
            assert not state.learner.network._forward_pre_hooks
    for plain, watched_one in zip(*weights, strict=True):
        assert plain.keys() == watched_one.keys()
        assert all(torch.equal(plain[name], watched_one[name]) for name in plain)


def test_a_run_that_learns_from_no_teacher_pays_for_none(timed: Report) -> None:
    assert timed.alone["scratch"][0].teacher is None
    assert timed.alone["kd"][0].teacher > 0


def test_the_samples_and_classes_are_those_asked_for(registry: Registry) -> None:
    made = make_materials(dataclasses.replace(TINY, samples=100, classes=9), registry)
    assert (len(made.splits.train), len(made.data.classes)) == (100, 9)


def test_every_baseline_is_timed_once_whatever_its_first_stages(registry: Registry) -> None:
    materials = make_materials(dataclasses.replace(TINY, baselines=("all",)), registry)
    names = [run.baseline for run in materials.spec.runs]
    assert len(names) == len(set(names))
    assert set(names) >= set(registry.baselines)


def test_images_are_of_the_size_asked_for(registry: Registry) -> None:
    made = make_materials(dataclasses.replace(TINY, image_size=12), registry)
    values = made.data.train.modalities["rgb"]
    assert (values.shape, values.dtype) == ((240, 3, 12, 12), torch.uint8)
    assert made.data.modalities["rgb"].shape == (3, 12, 12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pair": "tiny_big-tiny_smal"}, "tiny_big-tiny_small"),
        ({"dataset": "stripe"}, "did you mean stripes"),
        ({"baselines": ("kdd",)}, "unknown baseline 'kdd'"),
        ({"pair": "0"}, "unknown pair '0': see them all with run_all.py --list"),
    ],
    ids=["pair", "dataset", "baseline", "nothing near"],
)
def test_an_unknown_name_is_told_with_the_nearest(registry: Registry, change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_materials(dataclasses.replace(TINY, **change), registry)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "--steps 0: give a whole number from 1 up"),
        ({"image_size": 32, "data_dir": Path()}, "leave out --data-dir or --image-size"),
        ({"measure": ()}, "--measure: give some of cohort, alone"),
        ({"grow": ("bach",)}, "unknown axis 'bach': did you mean batch"),
        ({"grow": ("batch=big",)}, "give whole numbers from 1 up, such as batch=16,64"),
        ({"json": Path("nowhere/speed.json")}, "there is no folder nowhere: make it first"),
        ({"bounds": ("overhead",)}, "give NAME=VALUE with a number above 0"),
    ],
    ids=["steps", "image size", "measure", "axis", "sizes", "json", "bounds"],
)
def test_a_setting_that_cannot_be_meant_is_one_line(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataclasses.replace(TINY, **change).check()


def test_real_data_that_is_not_there_is_named(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cifar10"):
        make_materials(Speed("resnet20-resnet8", NAMES, data_dir=tmp_path), registry)


def test_scratch_alone_can_be_timed(registry: Registry) -> None:
    speed = dataclasses.replace(TINY, baselines=("scratch",), steps=2)
    assert "scratch" in shown(report_of(speed, registry, FABRIC, ignored))


def test_a_baseline_that_does_not_apply_is_named_and_left_out(registry: Registry) -> None:
    said: list[str] = []
    speed = dataclasses.replace(
        TINY, baselines=("scratch", "pseudo_label"), steps=2, measure=("cohort", "alone")
    )
    assert measure(speed, registry, FABRIC, said.append).alone.keys() == {"scratch"}
    assert said == [
        "pseudo_label is left out: every training sample is labelled: there is nothing to pseudo-label"
    ]


def test_a_baseline_that_diverges_on_random_weights_is_timed_and_named(registry: Registry) -> None:
    @baseline("diverges", title="Diverges")
    class Diverges(Distiller):
        def forward(self, teacher, student, batch, progress):
            return {"diverges": student.logits.mean() * float("inf")}

    said: list[str] = []
    speed = dataclasses.replace(TINY, baselines=("scratch", "diverges"), steps=2, measure=("cohort", "alone"))
    done = measure(speed, registry, FABRIC, said.append)
    assert done.alone.keys() == {"scratch", "diverges"}
    assert all(timing.own["diverges"] > 0 for timing in (*done.together, *done.alone["diverges"]))
    assert [line.partition(":")[0] for line in said] == ["diverges is timed although it diverged"]


def test_without_real_data_plain_loops_are_left_out_in_a_line(registry: Registry) -> None:
    said: list[str] = []
    speed = dataclasses.replace(TINY, baselines=("scratch",), measure=("plain",))
    assert measure(speed, registry, FABRIC, said.append).plain == {}
    assert said == ["plain loops are left out: give --data-dir"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_without_cuda_graphs_are_left_out_in_a_line(registry: Registry) -> None:
    said: list[str] = []
    speed = dataclasses.replace(TINY, measure=("cohort", "graphs", "fused"))
    done = measure(speed, registry, FABRIC, said.append)
    assert (len(done.together), len(done.fused), done.graphed) == (speed.repeats, speed.repeats, [])
    (line,) = said
    assert line.startswith("graphs is left out: ")


def test_every_run_is_a_plain_loop_on_real_data(registry: Registry, real: Speed) -> None:
    report = report_of(real, registry, FABRIC, ignored)
    assert report.plain.keys() == set(NAMES)
    ratios = report.ratios()
    plain = sum(each.median for each in report.plain.values())
    assert math.isclose(ratios["cohort/plain"], report.together[0].wall / plain)
    alone = sum(each[0].wall for each in report.alone.values())
    assert math.isclose(ratios["alone/plain"], alone / plain)
    assert "plain loop" in shown(report)


def test_a_plain_loop_that_is_missing_leaves_no_ratio(registry: Registry, real: Speed) -> None:
    said: list[str] = []
    speed = dataclasses.replace(real, baselines=("kd", "mlkd"), measure=("cohort", "plain"))
    report = report_of(speed, registry, FABRIC, said.append)
    assert report.plain.keys() == {"kd"}
    assert said == ["mlkd is left out of the plain loops: a plain loop makes no strong view"]
    assert "cohort/plain" not in report.ratios()


def plain_loop(bench: Bench, name: str) -> tuple[PlainLoop, torch.nn.Module]:
    run = next(run for run in bench.materials.spec.runs if run.baseline == name)
    (state,) = bench.training((run,)).states
    return PlainLoop(bench.materials, state, run, FABRIC, workers=0), state.learner


def test_a_plain_loop_learns(registry: Registry, real: Speed) -> None:
    loop, learner = plain_loop(make_bench(real, registry, FABRIC), "scratch")
    images, labels, _ = next(iter(loop._loader))

    def loss() -> float:
        return float(F.cross_entropy(learner.network({"rgb": images}).logits, labels).detach())

    before = loss()
    loop.train(30)
    assert loss() < 0.95 * before


def test_a_plain_loop_has_no_teacher_where_none_is_learnt_from(registry: Registry, real: Speed) -> None:
    bench = make_bench(real, registry, FABRIC)
    assert plain_loop(bench, "scratch")[0]._teacher is None
    assert plain_loop(bench, "kd")[0]._teacher is not None


def test_plain_images_are_those_of_the_stream_but_for_crop_and_flip(registry: Registry) -> None:
    data = dataclasses.replace(tiny_data(), pad=0, flip=False)
    image, label, index = Images(data.train, data, "rgb")[17]
    expected = (data.train.modalities["rgb"][17] / 255 - 0.5) / 0.25
    torch.testing.assert_close(image, expected)
    assert (label, index) == (17 % 6, 17)


def test_the_floor_counts_a_backward_pass_twice() -> None:
    floor = Floor(rate=1e6, teacher=300, student=100, batch_size=10)
    assert floor.milliseconds(students=2, teachers=1) == 1000 * 10 * (300 + 2 * 3 * 100) / 1e6


def test_multiply_accumulates_are_those_of_the_networks(registry: Registry) -> None:
    def by_hand(width: int) -> int:
        convolutions = 64 * 27 * width + 16 * 9 * width * 2 * width + 16 * 9 * (2 * width) ** 2
        return convolutions + 2 * width * 6

    assert macs(make_bench(TINY, registry, FABRIC)) == (by_hand(12), by_hand(4))


def test_a_matrix_product_has_a_rate() -> None:
    assert 1e6 < matrix_rate(FABRIC, "32", 64) < 1e16
    assert 1e5 < matrix_rate(FABRIC, "bf16", 64) < 1e16


def test_a_cohort_takes_longer_than_its_floor(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIDES, "cpu", 128)
    speed = dataclasses.replace(TINY, baselines=("kd",), steps=2, measure=("cohort", "floor"))
    report = report_of(speed, registry, FABRIC, ignored)
    assert report.ratios()["cohort/floor"] > 1
    assert "A matrix product" in shown(report)


def comparison(ours: float, theirs: float) -> Comparison:
    def apart(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a - b).abs())

    return Comparison(
        "sum", "two", "torch", lambda: torch.tensor(ours), lambda: torch.tensor(theirs), apart, 0.1
    )


def test_what_does_not_compute_the_same_is_told() -> None:
    for theirs, lines in ((1.05, 0), (1.5, 1)):
        report = Report(TINY, FABRIC, compared=compare([comparison(1.0, theirs)], FABRIC, 2))
        assert len(report.above()) == lines
        assert "sum" in report.ratios()
        assert "sum" in shown(report)


def small_comparisons() -> list[Comparison]:
    module = importlib.import_module("baselines._comparisons")
    said: list[str] = []
    found = list(module.comparisons(FABRIC.device, said.append, costs=(24,), batch=8, bank=300, negatives=64))
    assert not said
    return found


def test_solvers_and_banks_compute_what_their_rivals_do() -> None:
    compared = compare(small_comparisons(), FABRIC, 1)
    assert [each.comparison.name for each in compared] == [
        "sinkhorn/24",
        "ipot/24",
        "ipot-emd/24",
        "exact/24",
        "bank",
    ]
    assert all(each.agrees for each in compared)


def test_the_gradients_of_a_bank_are_those_of_the_gather() -> None:
    bank = small_comparisons()[-1]
    torch.testing.assert_close(bank.ours(), bank.theirs(), rtol=1e-4, atol=1e-6)


def test_without_pot_transport_is_left_out_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("baselines._comparisons")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    said: list[str] = []
    found = module.comparisons(FABRIC.device, said.append, batch=4, bank=50, negatives=8)
    assert [each.name for each in found] == ["bank"]
    assert said == ["transport is not timed beside POT, which is not installed: pip install POT"]


def test_a_step_on_few_samples_counts_those_that_are_trained(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SIDES, "cpu", 128)
    few = dataclasses.replace(TINY, baselines=("kd",), samples=20, steps=1, measure=("cohort", "floor"))
    report = report_of(few, registry, FABRIC, ignored)
    assert report.trainings.bench.materials.spec.recipe.batch_size == 32
    assert (report.batch_size, report.floor.batch_size) == (20, 20)
    assert "Milliseconds per step of 20 samples" in shown(report)
    teacher, student = macs(report.trainings.bench)
    rows = [*grow("bank", (20,), few, registry, FABRIC, ignored)]
    rows += grow("baselines", (1,), few, registry, FABRIC, ignored)
    assert [row.macs for row in rows] == [20 * (teacher + 3 * student)] * 2


GROWTHS = {
    "batch": ((8, 16), 2.0),
    "classes": ((6, 60), None),
    "bank": ((60, 240), 1.0),
    "image": ((8, 16), None),
}


@pytest.mark.parametrize("axis", GROWTHS)
def test_growth_stands_beside_what_arithmetic_predicts(registry: Registry, axis: str) -> None:
    sizes, factor = GROWTHS[axis]
    speed = dataclasses.replace(TINY, baselines=("kd",), steps=2)
    first, second = grow(axis, sizes, speed, registry, FABRIC, ignored)
    assert (first.size, second.size) == sizes
    assert first.predicted is None
    assert math.isclose(second.predicted, first.wall * second.macs / first.macs)
    assert factor is None or second.macs == factor * first.macs
    assert second.macs >= first.macs


def test_growth_with_baselines_is_predicted_from_the_largest_cohort(registry: Registry) -> None:
    said: list[str] = []
    speed = dataclasses.replace(TINY, steps=2, grow=("baselines=1,3,30",))
    report = report_of(speed, registry, FABRIC, said.append)
    one, three = report.grown["baselines"]
    assert (one.size, three.size) == (1, 3)
    assert 0 < one.predicted < three.predicted <= three.wall
    assert said == ["cohorts of more than 3 are left out: 3 baselines are given, see --baselines"]
    assert "Growth with baselines" in shown(report)


def test_sizes_of_cohorts_may_come_in_any_order_and_twice(registry: Registry) -> None:
    said: list[str] = []
    speed = dataclasses.replace(TINY, baselines=("scratch", "kd"), steps=2)
    rows = grow("baselines", (2, 1, 2), speed, registry, FABRIC, said.append)
    assert [(row.size, len(row.each)) for row in rows] == [(1, 1), (2, 1)]
    assert said == []


def test_a_ratio_is_taken_repeat_by_repeat() -> None:
    assert Spread((1.0, 10.0, 3.0)) / Spread((2.0, 20.0, 3.0)) == 0.5
    assert str(Spread((1.0, 10.0, 3.0))) == "3.0 (1.0–10.0)"


def test_bounds_are_kept_to(timed: Report) -> None:
    for bounds, lines in ((("overhead=1000", "cohort/alone=1000"), 0), (("cohort/alone=0.0001",), 1)):
        report = dataclasses.replace(timed, speed=dataclasses.replace(timed.speed, bounds=bounds))
        assert len(report.above()) == lines
    report = dataclasses.replace(timed, speed=dataclasses.replace(timed.speed, bounds=("cohort/plain=1",)))
    with pytest.raises(UserError, match="cohort/plain"):
        report.above()


def test_the_file_holds_machine_settings_and_spread(timed: Report, tmp_path: Path) -> None:
    write(timed, tmp_path / "speed.json")
    content = json.loads((tmp_path / "speed.json").read_text())
    assert content["machine"]["threads"] == torch.get_num_threads()
    assert content["machine"]["versions"]["torch"] == str(torch.__version__)
    assert content["machine"]["processor"]
    assert content["settings"]["baselines"] == list(NAMES)
    assert content["data"]["batch_size"] == 32
    wall = content["cohort"]["wall_ms"]
    assert wall["min"] <= wall["median"] <= wall["max"]
    assert len(wall["each"]) == 3
    assert content["cohort"]["runs"]["kd"].keys() == {
        "own_ms",
        "student_ms",
        "loss_ms",
        "backward_ms",
        "optimiser_ms",
    }
    assert math.isclose(content["cohort"]["samples_per_s"], 32 / (wall["median"] / 1000))
    assert content["ratios"]["cohort/alone"] == timed.ratios()["cohort/alone"]


def test_a_file_that_cannot_be_written_is_one_line(timed: Report, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be written"):
        write(timed, tmp_path / "nowhere" / "speed.json")


ARGUMENTS = (
    *("--pair", "tiny_big-tiny_small", "--baselines", "scratch", "kd", "--steps", "2", "--repeats", "1"),
    *("--samples", "64", "--classes", "6", "--device", "cpu", "--measure", "cohort"),
)


def test_the_command_writes_its_file_and_fails_above_a_bound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "speed.json"
    assert main([*ARGUMENTS, "--json", str(file)]) == 0
    assert json.loads(file.read_text())["cohort"]["runs"].keys() == {"scratch", "kd"}
    assert main([*ARGUMENTS, "--bounds", "memory_gib=0.001"]) == 1
    assert "above its bound 0.001" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [("--steps", "0"), ("--measure", "everything"), ("--bounds", "cohort/plain=1"), ("--json", "/")],
    ids=["steps", "measure", "bounds", "json"],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ARGUMENTS, *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("benchmark.speed: ")


def test_a_folder_in_the_place_of_the_file_is_refused_before_anything_is_timed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--json .*: can't be written"):
        dataclasses.replace(TINY, json=tmp_path).check()


def without_a_compiler(network: torch.nn.Module) -> object:
    """In place of torch.compile."""

    def call(batch: object) -> object:
        raise RuntimeError("no compiler\nis there")

    return call


def test_what_the_engine_does_is_compared_with_what_it_could_do(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", without_a_compiler)
    said: list[str] = []
    done = compare(choices(make_bench(TINY, registry, FABRIC), said.append), FABRIC, repeats=1)
    assert said == ["the compiled step is left out: no compiler"]
    assert {each.comparison.name for each in done} >= {"float32", "evaluation/64", "log", "exp"}
    for each in done:
        assert each.agrees, each.comparison.name
        assert min(*each.ours, *each.theirs) > 0
    (bf16,) = (each for each in done if each.comparison.name == "float32")
    assert bf16.difference > 0


def compiled_step() -> tuple[list[str], float]:
    """What is left out, and by how much the gradients of a compiled step differ if it is not."""
    said: list[str] = []
    known = {each.name: each for each in choices(make_bench(TINY, plugins.load(), FABRIC), said.append)}
    eager = known.get("eager")
    return said, math.nan if eager is None else eager.difference(eager.ours(), eager.theirs())


@pytest.mark.slow
def test_a_compiled_step_has_the_gradients_of_a_plain_one() -> None:
    # By itself: a compiler keeps processes and settings in the one that calls it.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        said, difference = pool.apply(compiled_step)
    if said:
        pytest.skip(said[0])
    assert difference < 1e-3
