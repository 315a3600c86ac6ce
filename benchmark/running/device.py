"""What a command computes on: its device and its precision."""

from __future__ import annotations

import os
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import psutil
import torch
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.overrides import TorchFunctionMode
from torch.utils import deterministic

from benchmark import launching
from benchmark.errors import UserError
from benchmark.ranks import Fabric

VOLUME_CONVOLUTIONS = (torch.conv3d, torch.conv_transpose3d)


MEETING = timedelta(minutes=30)
"""How long the processes of one machine, which are started together, wait for each other."""
PLANNING = timedelta(hours=12)
"""How long others wait for the first one, which plans before it joins them."""


def make_fabric(device: str, precision: str, devices: int = 1, nodes: int = 1) -> Fabric:
    """The device and precision of a command; several (to be launched) where its cohorts train on several.

    Raises UserError for a device that is not there.
    """
    kind, _, number = device.partition(":")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()) or (kind == "cpu" and number):
        raise UserError(f"--device {device}: give auto, cpu, cuda or cuda:N")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise UserError(
            f"--device {device}: {torch.cuda.device_count()} CUDA devices are there; give auto or cpu"
        )
    if kind == "cuda" and torch.cuda.device_count() < devices:
        raise UserError(f"--devices {devices}: {torch.cuda.device_count()} CUDA devices are there")
    if kind == "cuda":
        repeat_exactly()
    bf16 = CPUBfloat16() if kind == "cpu" else MixedPrecision("bf16-mixed", kind)
    plugins: list[Any] = [bf16] if precision == "bf16" else []
    # Named, so that what a scheduler's variables say is not heeded: the settings say it.
    environment = TorchElasticEnvironment() if launching.by_torchrun() else LightningEnvironment()
    if devices * nodes == 1:
        chosen = 1 if kind == "cpu" else [int(number or 0)]
        return Fabric(accelerator=kind, devices=chosen, plugins=[environment, *plugins])
    patience = PLANNING if nodes > 1 or launching.by_torchrun() else MEETING
    return Fabric(
        accelerator=kind,
        devices=devices,
        num_nodes=nodes,
        strategy=DDPStrategy(timeout=patience),
        plugins=[environment, *plugins],
    )


def repeat_exactly() -> None:
    """Has CUDA compute by algorithms that give the same bits again; one that has none of that kind warns.

    Call it before the device's first matrix product: cuBLAS reads its workspace from the environment then.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Nothing here reads what it did not write.
    deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


def crowding(device: str, threads: int, trainings: int = 1) -> str | None:
    """Advice where the `threads` of each of some trainings would wait for cores that others keep busy.

    Looks on for a third of a second, unless one thread or a GPU computes.
    """
    if threads == 1 or device.startswith("cuda"):
        return None
    own, loads = launching.own_cores(), psutil.cpu_percent(0.3, percpu=True)
    busy = sum(loads[core] for core in own if core < len(loads)) / 100
    if busy + threads * trainings <= len(own) + 0.5:
        return None
    return (
        f"other programs keep {busy:.1f} of the {len(own)} cores busy, and a training's {threads} threads "
        "wait for each other: it is many times slower than with OMP_NUM_THREADS=1"
    )


class Float32Volumes(TorchFunctionMode):
    """Convolutions over three axes (module or function) stay out of autocast and compute in float32."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function not in VOLUME_CONVOLUTIONS:
            return function(*args, **(kwargs or {}))
        with torch.autocast("cpu", enabled=False):
            return function(*map(in_float32, args), **{k: in_float32(v) for k, v in (kwargs or {}).items()})


def in_float32(value: object) -> object:
    """A tensor as float32; anything else as it is."""
    return value.float() if isinstance(value, torch.Tensor) else value


class CPUBfloat16(MixedPrecision):
    """bfloat16 autocast on the CPU, but for 3-D convolutions.

    oneDNN's bfloat16 gradient of their weights is wrong where a map is two frames deep, from memory that
    nothing was written to (torch 2.14.1 with oneDNN 3.12; the other sizes and float32 are right).
    """

    def __init__(self) -> None:
        super().__init__("bf16-mixed", "cpu")

    def forward_context(self) -> ExitStack:
        """Autocast with the exception."""
        context = ExitStack()
        context.enter_context(super().forward_context())
        context.enter_context(Float32Volumes())
        return context
