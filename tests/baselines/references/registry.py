"""What references are made of: the case that they compute, and the register of them.

A reference recomputes the weighted terms of one batch from the formula of the paper, in float64 loops. It
shares no code with the baseline: of the distiller it may read hyper-parameters and state (weights, banks),
and ask for its random draws.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from benchmark import Activations, Progress
from benchmark.contracts import Distiller
from tests.baselines.tiny import PROGRESS, TinyPair, built_or_skipped, tiny_batch

Array = np.ndarray


@dataclass(frozen=True)
class Shown:
    """A network's activations as float64 arrays, named and shaped like those of `Activations`."""

    logits: Array
    embedding: Array
    maps: list[Array]
    preactivations: list[Array]

    @classmethod
    def of(cls, activations: Activations) -> Shown:
        return cls(
            array(activations.logits),
            array(activations.embedding),
            [array(each) for each in activations.maps],
            [array(each) for each in activations.preactivations],
        )


@dataclass(frozen=True)
class Case:
    """One batch of a tiny pair.

    distiller   the baseline as it is before the step, in training mode: for its settings, its state and its
                draws; `torch.manual_seed(SEED)` is what the engine's step starts from
    state       its parameters and buffers as float64 arrays
    """

    teacher: Shown
    student: Shown
    batch: dict[str, Array]
    progress: Progress
    distiller: Distiller
    state: dict[str, Array]


SEED = 7
Reference = Callable[[Case], dict[str, float]]
REFERENCES: dict[str, Reference] = {}
TOLERANCES: dict[str, float] = {}


def reference(*names: str, tolerance: float = 2e-4) -> Callable[[Reference], Reference]:
    """Registers a reference for baselines: weighted term -> value, as `forward` names them.

    The terms of a first stage stand beside them as "<stage name>: <term>". `tolerance` is relative.
    """

    def register(function: Reference) -> Reference:
        REFERENCES.update(dict.fromkeys(names, function))
        TOLERANCES.update(dict.fromkeys(names, tolerance))
        return function

    return register


def array(tensor: Tensor) -> Array:
    value = tensor.detach().cpu().numpy()
    return value.astype(np.float64) if value.dtype.kind == "f" else value


def case_of(name: str, pair: TinyPair) -> Case:
    distiller = copy.deepcopy(built_or_skipped(name, pair))
    state = {key: array(value) for key, value in distiller.state_dict().items()}
    batch = {key: value.numpy() for key, value in tiny_batch().items()}
    return Case(Shown.of(pair.teacher()), Shown.of(pair.student()), batch, PROGRESS, distiller, state)
