"""What a step would take if the networks' arithmetic ran at the rate of the device's matrix product."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from benchmark.evaluation.cost import inference_cost
from benchmark.ranks import Fabric
from benchmark.settings import Precision
from benchmark.speed.bench import Bench, wait

SIDES = {"cpu": 1024, "cuda": 8192}
"""Of the square matrices that the rate is measured with."""
BACKWARD = 2
"""The backward pass counts as two passes forward: gradients of inputs and of weights."""


@dataclass(frozen=True)
class Floor:
    """The arithmetic of networks, losses left out.

    rate              multiply-accumulates per second of a matrix product in the precision used
    teacher, student  multiply-accumulates of one sample, forward
    """

    rate: float
    teacher: int
    student: int
    batch_size: int

    def milliseconds(self, students: int, teachers: int) -> float:
        """Of one step: so many students, forward and backward, and teacher passes."""
        return 1000 * self.batch_size * self.macs(students, teachers) / self.rate

    def macs(self, students: int, teachers: int) -> int:
        """Multiply-accumulates per sample of a step."""
        return step_macs(self.teacher, self.student, students, teachers)


def floor(bench: Bench, precision: Precision, side: int | None = None) -> Floor:
    """The floor of a bench; `side` of the matrices, by default `SIDES`."""
    rate = matrix_rate(bench.fabric, precision, side or SIDES[bench.fabric.device.type])
    return Floor(rate, *macs(bench), bench.batch_size)


def step_macs(teacher: int, student: int, students: int, teachers: int) -> int:
    """Multiply-accumulates per sample of a step with so many students and teacher passes; the networks' own
    are of one sample, forward."""
    return teachers * teacher + (1 + BACKWARD) * students * student


def macs(bench: Bench) -> tuple[int, int]:
    """Multiply-accumulates of one sample, forward: the teacher's and the student's."""
    device, materials = bench.fabric.device, bench.materials
    batch = bench.training(()).batch
    teacher, student = (
        inference_cost(network, batch).macs
        for network in (materials.teacher_network(device), materials.student_network(device))
    )
    return teacher, student


@torch.no_grad()
def matrix_rate(fabric: Fabric, precision: Precision, side: int, repeats: int = 5) -> float:
    """Multiply-accumulates per second: the best of several products of two square matrices."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(side, side, device=fabric.device, dtype=kind) for _ in range(2))
    times = []
    for _ in range(1 + repeats):
        wait(fabric)
        began = time.perf_counter()
        left @ right
        wait(fabric)
        times.append(time.perf_counter() - began)
    return side**3 / min(times[1:])
