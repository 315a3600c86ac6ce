"""What the engine does beside what it could do instead: the choices made for speed, as comparisons.

`--measure choices` times them in one process, in turns, on the networks of the pair.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.contracts import Comparison
from benchmark.models.network import Network, place
from benchmark.speed.bench import Bench

EVALUATED, AT_ONCE = 1024, 256
"""Samples that are evaluated for a comparison, and of a batch as the engine evaluates."""
OTHERS_AT_ONCE = (64, 128, 512, 1024)
NUMBERS = 2**20
"""Of which logarithms and exponentials are taken."""
UNDERFLOWS = -100.0
"""exp of it is below the smallest float32 that is not 0."""

Context = Callable[[], AbstractContextManager[object]]


def choices(bench: Bench, say: Callable[[str], None]) -> Iterator[Comparison]:
    """Each choice (ours) beside one that was not made. `say` is told what is left out, in one line."""
    batch = bench.training(()).batch
    student = bench.materials.student_network(bench.fabric.device)
    yield from _steps(student, batch, say)
    yield from _evaluation(student, batch)
    yield from _functions(bench.fabric.device)


def _steps(student: Network, batch: Mapping[str, Tensor], say: Callable[[str], None]) -> Iterator[Comparison]:
    """A training step of the student: in another memory format, in bfloat16, compiled."""
    size, device = f"a step of {len(batch['index'])} samples", batch["index"].device
    ours = _step(student, student, batch)
    if student.memory_format != torch.contiguous_format:
        contiguous = copy.deepcopy(student)
        contiguous.memory_format = torch.contiguous_format
        place(contiguous, device, torch.contiguous_format)
        theirs = _step(contiguous, contiguous, batch)
        yield Comparison("format", size, "torch's own memory format", ours, theirs, _apart, 0.01)
    autocast = partial(torch.autocast, device.type, torch.bfloat16)
    theirs = _step(student, student, batch, autocast)
    yield Comparison("float32", size, "bfloat16 autocast", ours, theirs, _apart, 0.5)
    theirs = _step(student, torch.compile(student), batch)
    try:
        theirs()
    except RuntimeError as error:
        say(f"the compiled step is left out: {str(error).splitlines()[0]}")
    else:
        yield Comparison("eager", size, "torch.compile", ours, theirs, _apart, 0.05)


def _step(
    network: nn.Module,
    called: Callable[..., object],
    batch: Mapping[str, Tensor],
    context: Context = nullcontext,
) -> Callable[[], Tensor]:
    """Cross-entropy, forward and backward; gives the gradients of all parameters, in one row."""
    labels = batch["label"]

    def step() -> Tensor:
        network.zero_grad()
        with context():
            loss = F.cross_entropy(called(batch).logits, labels)  # pyright: ignore[reportAttributeAccessIssue]
        loss.backward()
        return torch.cat([each.grad.flatten() for each in network.parameters() if each.grad is not None])

    return step


def _evaluation(student: Network, batch: Mapping[str, Tensor]) -> Iterator[Comparison]:
    """Logits of samples in batches of one size beside another."""
    again = math.ceil(EVALUATED / len(batch["index"]))
    samples = {name: torch.cat([x] * again)[:EVALUATED] for name, x in batch.items()}
    judged = copy.deepcopy(student).eval()

    @torch.no_grad()
    def logits(at_once: int) -> Tensor:
        parts = zip(*(x.split(at_once) for x in samples.values()), strict=True)
        return torch.cat([judged(dict(zip(samples, part, strict=True))).logits for part in parts])

    for other in OTHERS_AT_ONCE:
        yield Comparison(f"evaluation/{other}", f"{EVALUATED} samples, {AT_ONCE} at once", f"{other} at once",
                         partial(logits, AT_ONCE), partial(logits, other), _apart, 1e-4)  # fmt: skip


def _functions(device: torch.device) -> Iterator[Comparison]:
    """Functions of contrastive losses and of transport, whose time depends on how they are written."""
    size = f"{NUMBERS:,} numbers"
    numbers = torch.rand(NUMBERS, generator=torch.Generator().manual_seed(0)).to(device)
    yield Comparison("log", size, "log1p", lambda: torch.log(1 + numbers), lambda: torch.log1p(numbers),
                     _apart, 1e-4)  # fmt: skip
    clamped, vanishing = -20 * numbers, UNDERFLOWS - numbers
    yield Comparison("exp", size, "exp of numbers that underflow", lambda: torch.exp(clamped),
                     lambda: torch.exp(vanishing), lambda ours, theirs: 0.0, 1.0)  # fmt: skip


def _apart(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, relative to the largest number."""
    return float((ours - theirs).abs().max() / theirs.abs().max())
