"""What a network costs at test time and a training in memory."""

from __future__ import annotations

import resource
import sys

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmark.contracts import Batch
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
    with FlopCounterMode(display=False) as counter:
        logits, _ = learner.predict(one)
    parameters = [p for p in learner.parameters() if p.requires_grad]
    used = torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
    learner.train(was_training)
    count = sum(p.numel() for p, gradient in zip(parameters, used, strict=True) if gradient is not None)
    return {"parameters": count, "macs": counter.get_total_flops() // 2}


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory so far in MB (10^6 bytes): what torch allocated on a CUDA device, else the process's
    resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
