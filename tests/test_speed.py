"""The speed command: every part is timed, and a cohort is cheaper than its runs one by one."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from benchmark import Distiller, baseline
from benchmark.errors import UserError
from benchmark.plugins import Registry
from benchmark.running.device import make_fabric
from benchmark.speed import Speed, make_materials, measure, show

NAMES = ("scratch", "kd", "wcord")


def test_every_part_is_timed_and_printed(registry: Registry) -> None:
    speed = Speed("tiny_big-tiny_small", NAMES, steps=4, repeats=1, samples=240, classes=6, device="cpu")
    together, alone = measure(speed, registry, make_fabric("cpu", "32"))
    assert set(alone) == set(NAMES)
    (cohort,) = together
    assert set(cohort.own) == set(NAMES)
    assert all(milliseconds > 0 for milliseconds in (*cohort.own.values(), cohort.teacher, cohort.data))
    assert cohort.wall >= cohort.teacher + cohort.data + sum(cohort.own.values())
    text = io.StringIO()
    show(together, alone, Console(file=text, width=100), memory_per_run=True)
    for name in (*NAMES, "teacher pass", "cohort / runs one by one", "peak memory, MB"):
        assert name in text.getvalue()


def test_a_run_that_learns_from_no_teacher_pays_for_none(registry: Registry) -> None:
    speed = Speed(
        "tiny_big-tiny_small", ("scratch", "kd"), steps=4, repeats=1, samples=240, classes=6, device="cpu"
    )
    _, alone = measure(speed, registry, make_fabric("cpu", "32"))
    assert alone["scratch"][0].teacher is None
    assert alone["kd"][0].teacher > 0


def test_the_samples_and_classes_are_those_asked_for(registry: Registry) -> None:
    made = make_materials(Speed("tiny_big-tiny_small", NAMES, samples=100, classes=9), registry)
    assert (len(made.splits.train), len(made.data.classes)) == (100, 9)


def test_an_unknown_pair_is_named_with_the_nearest(registry: Registry) -> None:
    with pytest.raises(UserError, match="tiny_big-tiny_small"):
        make_materials(Speed("tiny_big-tiny_smal"), registry)


def test_scratch_alone_can_be_timed(registry: Registry) -> None:
    speed = Speed("tiny_big-tiny_small", ("scratch",), steps=2, repeats=1, samples=240, classes=6)
    text = io.StringIO()
    timings = measure(speed, registry, make_fabric("cpu", "32"))
    show(*timings, Console(file=text, width=100), memory_per_run=False)
    assert "scratch" in text.getvalue()


def test_a_baseline_that_does_not_apply_is_named_and_left_out(registry: Registry) -> None:
    said: list[str] = []
    speed = Speed(
        "tiny_big-tiny_small", ("scratch", "pseudo_label"), steps=2, repeats=1, samples=240, classes=6
    )
    _, alone = measure(speed, registry, make_fabric("cpu", "32"), said.append)
    assert alone.keys() == {"scratch"}
    assert said == [
        "pseudo_label is left out: every training sample is labelled: there is nothing to pseudo-label"
    ]


def test_a_baseline_that_diverges_on_random_weights_is_timed_and_named(registry: Registry) -> None:
    @baseline("diverges", title="Diverges")
    class Diverges(Distiller):
        def forward(self, teacher, student, batch, progress):
            return {"diverges": student.logits.mean() * float("inf")}

    said: list[str] = []
    speed = Speed("tiny_big-tiny_small", ("scratch", "diverges"), steps=2, repeats=1, samples=240, classes=6)
    together, alone = measure(speed, registry, make_fabric("cpu", "32"), said.append)
    assert alone.keys() == {"scratch", "diverges"}
    assert all(timing.own["diverges"] > 0 for timing in (*together, *alone["diverges"]))
    assert [line.partition(":")[0] for line in said] == ["diverges is timed although it diverged"]
