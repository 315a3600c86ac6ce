"""Every registered baseline on two ranks: losses and weights of one process with the same batches.

Ranks are forked from a process that has done nothing else, as autograd's threads don't survive a fork.
"""

from __future__ import annotations

import copy
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from benchmark.evaluation.cost import Cost
from benchmark.planning.grid import make_plan, storage_of
from benchmark.plugins import Registry, load
from benchmark.ranks import ALONE, Ranks
from benchmark.ranks.several import Several
from benchmark.running.device import make_fabric
from benchmark.settings import parse
from benchmark.training.cohort import CohortTraining
from benchmark.training.learner import Learner
from benchmark.training.loop import START, Position
from benchmark.training.materials import Materials, Workbench
from benchmark.training.teacher import Teacher
from tests.command import forked
from tests.ranks.processes import in_ranks

BATCH = 15  # one rank has 8 samples of it, the other 7
COMPOSED = ("crd+kd", "simkd+kd")
ROUNDING = {"float64": 1e-9, "float32": 1e-5}
"""How far losses of any step may be apart; in float64 the history and the state at the end, too."""
MAGNIFIED = {"dist": 1e-3, "pkt": 1e-3, "semckd": 1e-3}
"""In float32, from the second step on: these losses are so steep that the rounding of gradients shows."""


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("precision", ROUNDING)
def test_every_baseline_trains_on_two_ranks_as_in_one_process_and_goes_on_from_a_snapshot(
    precision: str, forks: BaseContext, tmp_path: Path
) -> None:
    output = tmp_path / "told"
    process = forked(forks, output, main, precision)
    process.join(390)
    told = output.read_text()
    assert (process.exitcode, told.splitlines()[1:]) == (0, []), told
    assert int(told.split()[0]) > 50, told  # so many were compared


def materials_of(folder: Path, registry: Registry, names: list[str], student: str) -> Materials:
    """Few labels."""
    line = f"--tasks tiny_task --pairs tiny_big-{student} --seeds 0 --no-probes --label-fraction 0.5"
    line += f" --epochs 2 --batch-size {BATCH} --train-samples 60 --results-dir {folder}"
    line += " --set takd.assistant=tiny_plain" * ("takd" in names)
    settings = parse([*line.split(), "--baselines", *names])
    return Workbench(registry, storage_of(settings)).materials(make_plan(settings, registry).cohorts[0])


def trained(materials: Materials, teacher: Teacher, registry: Registry, ranks: Ranks) -> dict[str, Any]:
    """How every run ended, its losses step by step, its history, and the state of its learner, by name."""
    fabric = make_fabric("cpu", "32")
    fabric.ranks = ranks
    training = CohortTraining(materials, materials.spec.runs, teacher, fabric, registry)
    if isinstance(ranks, Several) and not ranks.first:
        assert ranks.told()[0] == "advance"
    with losses_noted() as losses:
        training.advance(None, None, lambda run, epoch: None)
    found: dict[str, Any] = {each.run.name: each.reason for each in training.unsuited}
    for state in training.states:
        found[state.name] = [state.status, state.reason, losses[id(state.learner)]]
        if torch.get_default_dtype() == torch.float64:
            found[state.name] += [state.history, state.learner.state_dict()]
    return found


@contextmanager
def losses_noted() -> Iterator[dict[int, list[dict[str, float]]]]:
    """By learner (its id): the terms of every step in the body, those of first stages too."""
    noted: dict[int, list[dict[str, float]]] = defaultdict(list)
    of_a_step = Learner.terms

    def terms(learner: Learner, *shown: Any) -> dict[str, torch.Tensor]:
        found = of_a_step(learner, *shown)
        noted[id(learner)].append({name: float(value.detach()) for name, value in found.items()})
        return found

    with patch.object(Learner, "terms", terms):
        yield noted


def compare(one: object, other: object, within: float, name: str) -> None:
    """Plain values exactly, numbers and tensors within rounding. Raises AssertionError."""
    if isinstance(one, dict):
        assert isinstance(other, dict), name
        assert one.keys() == other.keys(), name
        for key in one:
            compare(one[key], other[key], within, f"{name} {key}")
    elif isinstance(one, list | tuple):
        assert isinstance(other, list | tuple), name
        for number, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            compare(mine, theirs, within, f"{name} {number}")
    elif isinstance(one, float | torch.Tensor):
        mine, theirs = torch.as_tensor(one), torch.as_tensor(other)
        same = torch.allclose(mine, theirs, within, within, equal_nan=True)
        assert same, f"{name}: {(mine - theirs).abs().max()}"
    else:
        assert one == other, f"{name}: {one} {other}"


def untrained_teacher(materials: Materials) -> Teacher:
    network = materials.teacher_network(torch.device("cpu")).eval().requires_grad_(False)
    return Teacher(materials.spec.teacher, network, "", {}, {}, torch.empty(0), Cost(0, 0))


def unlike_after_a_pause(ranks: Several, materials: Materials, registry: Registry) -> list[str]:
    """A line for each run that is not the same to the bit where it goes on from the first rank's snapshot.

    Its student has batch norms and dropout, which on each rank are its own.
    """
    teacher, fabric = untrained_teacher(materials), make_fabric("cpu", "32")
    fabric.ranks = ranks

    def advanced(until: int | None, first: Position, snapshots: Mapping[str, Any]) -> dict[str, Any]:
        training = CohortTraining(materials, materials.spec.runs, teacher, fabric, registry, first, snapshots)
        if not ranks.first:
            assert ranks.told()[0] == "advance"
        training.advance(until, None, lambda run, epoch: None)
        return {state.name: copy.deepcopy(state.snapshot()) for state in training.states}

    whole = advanced(None, START, {})
    paused = ranks.from_first(advanced(1, START, {}))
    gone_on = advanced(None, Position(1, 0), paused)
    return [f"{name} after a pause" for name in whole if not alike(whole[name], gone_on[name])]


def alike(one: object, other: object) -> bool:
    """Whether nested values are the same to the bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    return one == other


def differences(ranks: Several, materials: Materials, registry: Registry, precision: str) -> list[str]:
    """A line for each run whose numbers are not those of one process, or differ between ranks."""
    teacher = untrained_teacher(materials)
    alone = trained(materials, teacher, registry, ALONE) if ranks.first else {}
    together = trained(materials, teacher, registry, ranks)
    first = ranks.from_first(together)
    wrong = []
    for name, run in together.items():
        within = ROUNDING[precision]
        if precision == "float32":
            within = MAGNIFIED.get(name, within)
        try:
            compare(first[name], run, within, f"{name} between ranks:")
            if ranks.first:
                compare(alone[name], run, within, f"{name}:")
            if not isinstance(run, str):  # which says why it does not apply
                assert run[0] == "finished", f"{name}: {run[:2]}"
                compare(first[name][2][0], run[2][0], 1e-6, f"{name} in the first step, between ranks:")
                if ranks.first:
                    compare(alone[name][2][0], run[2][0], 1e-6, f"{name} in the first step:")
        except AssertionError as error:
            wrong.append(" ".join(str(error).split())[:300])
    return wrong


def in_float64() -> None:
    """From here on, whatever would be float32 is float64."""
    torch.set_default_dtype(torch.float64)
    torch.float32, torch.Tensor.float = torch.float64, torch.Tensor.double


def main(precision: str) -> None:
    """Prints how many baselines were compared, and a line for whatever is wrong."""
    torch.set_num_threads(1)
    registry = load()
    import tests.tiny_task  # noqa: F401 - registers itself

    names = [
        *(name for name, each in registry.baselines.items() if each.distiller.learns_from == "trained"),
        *COMPOSED,
    ]
    with tempfile.TemporaryDirectory() as place:
        materials = materials_of(Path(place), registry, names, "tiny_plain")
        pausing = materials_of(Path(place), registry, ["kd", "crd", "mlkd"], "tiny_dropout")

        def work(ranks: Several) -> list[str]:
            if precision == "float64":
                in_float64()
            own = unlike_after_a_pause(ranks, pausing, registry)
            return own + differences(ranks, materials, registry, precision)

        answers = in_ranks(Path(place), work)
    print(len(materials.spec.runs))
    print(*(line for wrong in answers for line in wrong), sep="\n", end="")
