"""What a network costs at test time and a training in memory."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmark.contracts import Batch

if TYPE_CHECKING:
    from benchmark.training.learner import Learner


def inference_cost(learner: Learner, batch: Batch) -> dict[str, int]:
    """Parameters that the prediction depends on, and multiply-accumulates of one sample (convolutions and
    products).

    Counted on what `predict` uses: a baseline with a head of its own pays for it, an unused classifier
    costs nothing.
    """
    one = {name: x[:1] for name, x in batch.items()}
    was_training = learner.training
    learner.eval()
    with FlopCounterMode(display=False) as everything:
        logits, seen = learner.predict(one)
    parameters = [p for p in learner.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
    used = [p for p, gradient in zip(parameters, gradients, strict=True) if gradient is not None]
    macs = everything.get_total_flops() // 2
    head = learner.network.head
    if head is not None and not {id(p) for p in head.parameters()} & {id(p) for p in used}:
        with FlopCounterMode(display=False) as unused:
            head(seen.embedding)
        macs -= unused.get_total_flops() // 2
    learner.train(was_training)
    return {"parameters": sum(p.numel() for p in used), "macs": macs}


@torch.no_grad()
def latency_ms(learner: Learner, batch: Batch, repeats: int = 20) -> float:
    """Milliseconds for the prediction of one sample, the median of `repeats`, after three to warm up."""
    one = {name: x[:1] for name, x in batch.items()}
    device = one["index"].device
    was_training = learner.training
    learner.eval()
    times = []
    for _ in range(3 + repeats):
        began = time.perf_counter()
        learner.predict(one)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(1000 * (time.perf_counter() - began))
    learner.train(was_training)
    return statistics.median(times[3:])


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory so far, in 10^6 bytes: torch's on a CUDA device, else the process's resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
