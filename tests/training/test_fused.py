"""Students of one architecture in one pass show, learn and remember what each would by itself."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from benchmark import Distiller, baseline
from benchmark.models import Network, build
from benchmark.training.fused import Fusing, disagreement
from tests.command import records, run, weights

IMAGE, SERIES, CLIP = (3, 16, 16), (6, 24), (3, 4, 12, 12)


def alike(architecture: str, shape: tuple[int, ...], count: int = 3) -> list[Network]:
    # In float64: with four samples some of their gradients are ill-conditioned.
    return [build(architecture, [shape], 5, ("x",)).train().double() for _ in range(count)]


@pytest.mark.parametrize(
    ("architecture", "shape"),
    [
        ("resnet8", IMAGE), ("wrn_16_1", IMAGE), ("vgg8", (3, 32, 32)), ("MobileNetV2", (3, 32, 32)),
        ("ShuffleV1", (3, 32, 32)), ("conv1d_8", SERIES), ("conv2d_8", IMAGE), ("conv3d_8", CLIP),
        ("unet2d_8", IMAGE),
    ],
)  # fmt: skip
def test_one_pass_is_that_of_each(architecture: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    networks = alike(architecture, shape)
    separate = copy.deepcopy(networks)
    batch = {"x": torch.randn(4, *shape, dtype=torch.float64)}
    before = [x.clone() for network in networks for x in network.state_dict().values()]
    ((numbers, fused),) = Fusing().find(networks, batch)
    assert numbers == [0, 1, 2]
    assert all(map(torch.equal, before, [x for each in networks for x in each.state_dict().values()]))

    together, each = fused(batch), [network(batch) for network in separate]
    for ours, theirs in zip(together, each, strict=True):
        for a, b in zip(tensors(ours), tensors(theirs), strict=True):
            torch.testing.assert_close(a, b)
    for shown in (together, each):
        torch.stack([sum_of(x) for one in shown for x in tensors(one)]).sum().backward()
    for ours, theirs in zip(networks, separate, strict=True):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad)
        for a, b in zip(ours.buffers(), theirs.buffers(), strict=True):
            torch.testing.assert_close(a, b)


def tensors(shown) -> list[torch.Tensor]:
    return [shown.logits, shown.embedding, *shown.maps, *shown.preactivations]


def sum_of(x: torch.Tensor) -> torch.Tensor:
    return (x * torch.linspace(-1, 1, x[0].numel(), dtype=x.dtype).view_as(x[0])).sum() / x.numel()


def test_networks_that_differ_or_draw_are_left_out() -> None:
    batch, fusing = {"x": torch.randn(4, *IMAGE, dtype=torch.float64)}, Fusing()
    two, one = alike("resnet8", IMAGE, 2), alike("resnet14", IMAGE, 1)
    ((numbers, _),) = fusing.find([two[0], *one, two[1]], batch)
    assert numbers == [0, 2]
    assert not fusing.refused()
    dropping = alike("resnet8", IMAGE)
    for network in dropping:
        network.get_submodule("layer1").append(torch.nn.Dropout(0.5))
    assert not fusing.find(dropping, batch)
    (reason,) = fusing.refused()
    assert "random" in reason
    assert not fusing.refused(), "a reason is told once"


def test_a_pass_that_is_not_that_of_each_is_refused() -> None:
    networks = alike("resnet8", IMAGE, 2)
    for number, network in enumerate(networks):
        # What it shows depends on something that is no weight.
        network.get_submodule("fc").register_forward_hook(
            lambda module, inputs, output, number=number: output + number
        )
    batch = {"x": torch.randn(4, *IMAGE, dtype=torch.float64)}
    assert "other logits" in disagreement(networks, batch)


NAMES = ("scratch", "kd", "fitnet", "crd", "wcord", "simkd", "ft")
"""One with a loss on maps, one with a bank, one that predicts by itself, one with a first stage."""


def test_a_cohort_learns_together_what_its_runs_learn_apart(tmp_path: Path) -> None:
    for name, more in (("apart", ()), ("together", ("--fuse",))):
        # On the CPU: a GPU's TF32 has ten bits of a product (tests/test_gpu.py does the same without it).
        assert run(tmp_path / name, "--epochs", "2", "--device", "cpu", *more, baselines=NAMES) == 0
    apart, together = records(tmp_path / "apart"), records(tmp_path / "together")
    assert apart.keys() == together.keys()
    for slug, record in together.items():
        assert record.status == "finished"
        assert record.measurements.fused == record.measurements.cohort_size
        assert apart[slug].measurements.fused == 1
        ours, theirs = (weights(tmp_path / name, slug) for name in ("together", "apart"))
        for key, value in theirs.items():
            torch.testing.assert_close(ours[key], value, rtol=1e-3, atol=1e-4)
    assert any(not torch.equal(x, weights(tmp_path / "apart", slug)[key])
               for slug in together for key, x in weights(tmp_path / "together", slug).items())  # fmt: skip


def test_students_that_draw_are_computed_by_themselves_and_that_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--pairs", "tiny_big-tiny_dropout", "--fuse", baselines=("scratch", "kd")) == 0
    assert "--fuse: each tiny_dropout is computed by itself" in capsys.readouterr().out
    assert {record.measurements.fused for record in records(tmp_path).values()} == {1}


def test_who_is_shown_a_second_view_is_computed_by_itself_beside_the_others(tmp_path: Path) -> None:
    assert run(tmp_path, "--epochs", "2", "--fuse", baselines=("scratch", "kd", "sskd")) == 0
    found = {record.run.baseline: record for record in records(tmp_path).values()}
    assert {name: record.measurements.fused for name, record in found.items()} == {
        "scratch": 2, "kd": 2, "sskd": 1
    }  # fmt: skip
    assert {record.status for record in found.values()} == {"finished"}


def test_a_baseline_that_fails_costs_the_others_nothing(tmp_path: Path) -> None:
    @baseline("breaks", title="Breaks")
    class Breaks(Distiller):
        """Fails in its second step."""

        def forward(self, teacher, student, batch, progress):
            if progress.step:
                raise KeyError("a mistake")
            return {}

    assert run(tmp_path, "--fuse", baselines=("scratch", "breaks", "kd")) == 1
    found = {record.run.baseline: record.status for record in records(tmp_path).values()}
    assert found == {"scratch": "finished", "breaks": "failed", "kd": "finished"}
