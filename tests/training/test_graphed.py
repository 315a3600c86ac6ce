"""Passes as graphs, by a stand-in with their habits on the CPU: plain passes, but for rounding."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.contracts import Activations
from benchmark.models import build
from benchmark.plugins import Registry
from benchmark.running.device import make_fabric
from benchmark.settings import parse
from benchmark.speed.bench import FirstSteps, make_bench
from benchmark.speed.settings import Speed
from benchmark.training.graphed import Graphs
from benchmark.training.loop import Loop
from tests.command import run

IMAGE, SERIES = (3, 16, 16), (6, 24)


def stand_in(function: Callable[..., Any], sample: tuple[Tensor, ...]) -> Callable[..., Any]:
    """As `torch.cuda.make_graphed_callables`: each call overwrites what the last one read and returned."""
    for _ in range(3):  # it warms up
        function(*sample)
    shown = [x.detach().clone() for x in function(*sample)]
    found = [torch.empty_like(x) if x.requires_grad else None for x in sample]

    class Replay(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *inputs):
            for place, x in zip(sample, inputs, strict=True):
                assert place.data_ptr() == x.data_ptr(), "a copy by itself that one copy of all was to save"
            with torch.enable_grad():
                ctx.outputs = function(*sample)
            for place, x in zip(shown, ctx.outputs, strict=True):
                place.copy_(x.detach())
            return tuple(x.detach() for x in shown)

        @staticmethod
        def backward(ctx, *gradients):
            wanted = [x for x in sample if x.requires_grad]
            each = iter(torch.autograd.grad(ctx.outputs, wanted, gradients, allow_unused=True))
            for place in found:
                if place is not None and (gradient := next(each)) is not None:
                    place.copy_(gradient)
            return tuple(None if place is None else place.detach() for place in found)

    return Replay.apply


def of_some(shown: Activations) -> Tensor:
    """A loss of logits and a map."""
    return shown.logits.square().sum() + shown.maps[1].sin().mean()


def of_a_map(shown: Activations) -> Tensor:
    """A loss that no weight behind the first stage has part in."""
    return shown.maps[1].square().sum()


@pytest.mark.parametrize(
    ("architecture", "shape"),
    [("resnet8", IMAGE), ("MobileNetV2", (3, 32, 32)), ("conv1d_8", SERIES), ("unet2d_8", IMAGE)],
)
def test_a_pass_shows_learns_and_remembers_what_a_plain_one_does(
    architecture: str, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    # In float64: gradients that come from several sides are summed in another order.
    networks = [build(architecture, [shape], 5, ("x",)).train().double() for _ in range(2)]
    graphs, plain = Graphs(stand_in), copy.deepcopy(networks)
    for loss in (of_some, of_a_map):
        batch = {"x": torch.randn(4, *shape, dtype=torch.float64)}
        for ours, theirs in zip(networks, plain, strict=True):
            shown, expected = graphs(ours, batch), theirs(batch)
            assert all(map(torch.equal, shown.tensors(), expected.tensors()))
            assert shown.classify is ours.head
            loss(shown).backward()
            loss(expected).backward()
            for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
                torch.testing.assert_close(a.grad, b.grad)
                a.grad = b.grad = None
                with torch.no_grad():
                    for parameter in (a, b):
                        parameter *= 0.9
            assert all(map(torch.equal, ours.buffers(), theirs.buffers()))
    assert all(map(graphs.serves, networks))
    assert not graphs.refused()


def test_what_was_shown_stays_when_the_next_is() -> None:
    graphs, network = Graphs(stand_in), build("resnet8", [IMAGE], 5, ("x",)).eval()
    with torch.no_grad():
        first = graphs(network, {"x": torch.randn(4, *IMAGE)})
        kept = [x.clone() for x in first.tensors()]
        graphs(network, {"x": torch.randn(4, *IMAGE)})
    assert all(map(torch.equal, first.tensors(), kept))


def test_a_network_that_draws_or_can_t_be_captured_is_computed_plainly_and_named() -> None:
    batch = {"x": torch.randn(4, *IMAGE)}
    drawing, other = (build("resnet8", [IMAGE], 5, ("x",)).train() for _ in range(2))
    drawing.get_submodule("layer1").append(torch.nn.Dropout(0.5))

    def failing(*_: Any) -> Any:
        raise RuntimeError("not permitted when stream is capturing\nmore of it")

    for network, capture, reason in (
        (drawing, stand_in, "a graph of it shows other logits"),
        (other, failing, "not permitted when stream is capturing"),
    ):
        graphs, twin = Graphs(capture), copy.deepcopy(network)
        for _ in range(2):
            torch.manual_seed(1)
            shown = graphs(network, batch)
            torch.manual_seed(1)
            assert torch.equal(shown.logits, twin(batch).logits)
        assert graphs.refused() == [f"{type(network).__name__}: {reason}"]
        assert not graphs.refused(), "a reason is told once"
        assert not graphs.serves(network)


NAMES = ("scratch", "kd", "fitnet", "crd", "wcord", "simkd", "itrd")


def test_a_cohort_learns_by_graphs_what_it_learns_without(registry: Registry) -> None:
    def trained(graphs: Graphs | None) -> dict[str, dict[str, Tensor]]:
        speed = Speed("conv2d_8-conv2d_4", NAMES, batch_size=16, samples=64, device="cpu")
        bench = make_bench(speed, registry, make_fabric("cpu", "32"))
        training = bench.training(bench.materials.spec.runs)
        teacher: Any = training.taught if graphs is None else partial(graphs, bench.teacher.network)
        Loop(bench.fabric, FirstSteps(training.stream, 3), 1, teacher, graphs=graphs).run(training.states)
        assert {state.status for state in training.states} == {"finished"}
        if graphs is not None:
            assert all(graphs.serves(state.learner.network) for state in training.states)
        return {state.name: state.learner.state_dict() for state in training.states}

    plain, graphed = trained(None), trained(Graphs(stand_in))
    assert plain.keys() == graphed.keys()
    assert len(plain) == len(NAMES)
    for name, weights in plain.items():
        for key, value in weights.items():
            torch.testing.assert_close(graphed[name][key], value, rtol=1e-3, atol=1e-4, msg=f"{name}: {key}")


@pytest.mark.parametrize("more", [["--fuse"], ["--devices", "2"]], ids=["fuse", "devices"])
def test_what_graphs_don_t_go_with_is_refused(more: list[str]) -> None:
    with pytest.raises(Exception, match="--graphs goes without"):
        parse(["--graphs", *more]).check()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_without_a_cuda_device_they_are_refused(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--graphs", baselines=("scratch",)) == 2
    assert "--graphs is for a CUDA device" in capsys.readouterr().err
