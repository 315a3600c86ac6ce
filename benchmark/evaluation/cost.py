"""What a network costs at test time and a training in memory."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmark.contracts import Batch
from benchmark.evaluation.predictor import Predictor, evaluating


@dataclass(frozen=True)
class Cost:
    """Parameters that a prediction depends on, and multiply-accumulates of one sample (convolutions and
    products)."""

    parameters: int
    macs: int


def inference_cost(predictor: Predictor, batch: Batch) -> Cost:
    """What a prediction costs, counted on what `predict` uses.

    A baseline with a head of its own pays for it, were it the teacher's, an unused classifier costs nothing.
    """
    one = {name: x[:1] for name, x in batch.items()}
    with evaluating(predictor), _all_differentiable(predictor):
        with FlopCounterMode(display=False) as everything:
            logits, seen = predictor.predict(one)
        parameters = list(predictor.parameters())
        gradients = torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
        used = [p for p, gradient in zip(parameters, gradients, strict=True) if gradient is not None]
        macs = everything.get_total_flops() // 2
        head = predictor.head
        if head is not None and not {id(p) for p in head.parameters()} & {id(p) for p in used}:
            with FlopCounterMode(display=False) as unused:
                head(seen.embedding)
            macs -= unused.get_total_flops() // 2
    return Cost(sum(p.numel() for p in used), macs)


@contextmanager
def _all_differentiable(predictor: Predictor) -> Iterator[None]:
    """Frozen parameters have gradients too, in the body, by which those that are used are known."""
    frozen = [parameter for parameter in predictor.parameters() if not parameter.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


@torch.no_grad()
def latency_ms(predictor: Predictor, batch: Batch, repeats: int = 20) -> float:
    """Milliseconds for the prediction of one sample, the median of `repeats`, after three to warm up."""
    one = {name: x[:1] for name, x in batch.items()}
    device = one["index"].device
    times = []
    with evaluating(predictor):
        for _ in range(3 + repeats):
            began = time.perf_counter()
            predictor.predict(one)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times[3:])


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory so far, in 10^6 bytes: torch's on a CUDA device, else the process's resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
