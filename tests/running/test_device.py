"""The device and the precision of a command."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmark import launching
from benchmark.errors import UserError
from benchmark.running.device import crowding, make_fabric
from tests.command import TINY_TASK, run


def leave_rubbish_in_memory():
    """Frees blocks of many sizes that are full of NaN, for the next operation to be given."""
    for size in (300_000, 50_000, 20_000, 8_000, 7_000, 2_000, 500):
        torch.full((size,), float("nan"))


def functional_convolution(maps, weight):
    return F.conv3d(maps, weight=weight, padding=1)


@pytest.mark.parametrize("operation", [functional_convolution, nn.functional.conv_transpose3d])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_bf16_on_the_cpu_computes_the_weights_gradient_of_convolutions_over_volumes(operation, depth):
    torch.manual_seed(0)
    maps, start = torch.randn(4, 16, depth, 3, 2), torch.randn(16, 16, 3, 3, 3) / 20
    gradients = {}
    for precision in ("32", "bf16"):
        weight = start.clone().requires_grad_()
        leave_rubbish_in_memory()
        with make_fabric("cpu", precision).autocast():
            output = operation(maps, weight)
        output.float().square().sum().backward()
        gradients[precision] = weight.grad
    error = (gradients["bf16"] - gradients["32"]).abs().max() / gradients["32"].abs().max()
    assert error < 0.02


def test_bf16_computes_everything_else_in_bfloat16():
    with make_fabric("cpu", "bf16").autocast():
        assert F.linear(torch.ones(1, 2), torch.ones(3, 2)).dtype == torch.bfloat16
        assert F.conv2d(torch.ones(1, 2, 3, 3), torch.ones(3, 2, 3, 3)).dtype == torch.bfloat16
        assert F.conv3d(torch.ones(1, 2, 3, 3, 3), torch.ones(3, 2, 3, 3, 3)).dtype == torch.float32
    assert F.linear(torch.ones(1, 2), torch.ones(3, 2)).dtype == torch.float32


def test_float32_computes_everything_in_float32():
    with make_fabric("cpu", "32").autocast():
        assert F.linear(torch.ones(1, 2), torch.ones(3, 2)).dtype == torch.float32


@pytest.mark.parametrize("device", ["tpu", "cpu:0", "cuda:x", "cuda:99"])
def test_a_device_that_is_not_there_is_a_message(device):
    with pytest.raises(UserError, match=f"--device {device}: .*give"):
        make_fabric(device, "32")


@pytest.mark.filterwarnings("error")
def test_what_slurm_says_of_tasks_is_not_heeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "srun").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert make_fabric("cpu", "32").world_size == 1
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert make_fabric("cpu", "32").world_size == 1


@pytest.fixture
def busy(monkeypatch):
    """Sets how many of its four cores other programs keep busy; those of others are."""

    def be(cores: float) -> None:
        monkeypatch.setattr(launching, "own_cores", lambda: [2, 3, 4, 5])
        monkeypatch.setattr(psutil, "cpu_percent", lambda seconds, percpu: [100.0] * 2 + [25.0 * cores] * 4)

    return be


@pytest.mark.parametrize(
    ("others", "threads", "trainings", "told"),
    [
        (2, 4, 1, True),
        (1, 2, 2, True),
        (0, 4, 1, False),
        (0.4, 2, 2, False),
        (2, 2, 1, False),
        (4, 1, 4, False),
    ],
)
def test_threads_that_would_wait_for_cores_that_others_use_are_told_of(
    busy, others, threads, trainings, told
):
    busy(others)
    advice = crowding("cpu", threads, trainings)
    assert bool(advice) == told
    if advice:
        assert f"keep {others:.1f} of the 4 cores busy" in advice
        assert "OMP_NUM_THREADS=1" in advice
    assert crowding("cuda:0", threads, trainings) is None


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_command_tells_so_before_it_trains_and_not_where_nothing_is_to_train(
    busy, monkeypatch, capsys, tmp_path, quick_workers, jobs
):
    busy(4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    for told in (True, False):
        assert run(tmp_path, "--plugin", TINY_TASK, "--jobs", jobs) == 0
        assert ("OMP_NUM_THREADS=1" in capsys.readouterr().out) == told
