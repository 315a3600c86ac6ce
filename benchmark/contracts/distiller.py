"""What a baseline is written against: activations, context, progress, and the class that it derives from.

Shapes in docstrings: B samples of a batch, K classes, C channels, D embedding width, N samples of the train
split.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.contracts.data import IGNORE

Batch = dict[str, Tensor]
"""`index` [B] int64, `label` [B] int64 (dense tasks [B, H, W]), `labelled` [B] bool, and one tensor
[B, C, *space] per modality."""

Need = Literal["logits", "embedding", "maps", "preactivations", "labels"]
LearnsFrom = Literal["trained", "untrained", "student_architecture"]
SecondView = Literal["", "strong", "rotated"]
"""Another view of a batch: "strong", the same crop and flip and then strong changes of the colours and the
geometry, [B, ...]; "rotated", turned by 90, 180 and 270 degrees, [3B, ...] with sample i in rows 3i, 3i + 1
and 3i + 2."""


class NotApplicable(Exception):
    """A baseline can't be used on this pair; the message says why and goes into the record."""


@dataclass(frozen=True)
class Activations:
    """What a network shows of one batch.

    logits          [B, K] (dense tasks [B, K, H, W])
    embedding       [B, D], the penultimate vector
    maps            maps[0] the stem, maps[1:] the stages, shallow to deep, each [B, C, *space]
    preactivations  the same before the last non-linearity; empty where a network has none
    classify        the network's own classifier, embeddings [R, D] -> logits [R, K], for features of other
                    places or times; the student's learns from what is done with it. None where no single
                    module does that
    second          what the same network shows of the batch's second view, for a baseline that asks for one
                    (`Distiller.second_view`) and while it trains; None otherwise
    """

    logits: Tensor
    embedding: Tensor
    maps: tuple[Tensor, ...] = ()
    preactivations: tuple[Tensor, ...] = ()
    classify: Callable[[Tensor], Tensor] | None = None
    second: Activations | None = None

    @property
    def last_feature(self) -> Tensor:
        """The last map behind the last non-linearity, [B, C, *space]: what many networks average."""
        return F.relu(self.preactivations[-1]) if self.preactivations else self.maps[-1]

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that is there, those of the second view last."""
        yield from (self.logits, self.embedding, *self.maps, *self.preactivations)
        if self.second is not None:
            yield from self.second.tensors()

    def map(self, change: Callable[[Tensor], Tensor]) -> Activations:
        """The same activations with `change` applied to every tensor (detach, reorder, cast)."""
        return Activations(
            change(self.logits),
            change(self.embedding),
            tuple(change(each) for each in self.maps),
            tuple(change(each) for each in self.preactivations),
            self.classify,
            None if self.second is None else self.second.map(change),
        )


@dataclass(frozen=True)
class Shapes:
    """The shapes of a network's activations without the batch axis, and whether it shows its classifier."""

    logits: tuple[int, ...]
    embedding: tuple[int, ...]
    maps: tuple[tuple[int, ...], ...] = ()
    preactivations: tuple[tuple[int, ...], ...] = ()
    classifies: bool = False

    @classmethod
    def of(cls, activations: Activations) -> Shapes:
        def shape(tensor: Tensor) -> tuple[int, ...]:
            return tuple(tensor.shape[1:])

        return cls(
            shape(activations.logits),
            shape(activations.embedding),
            tuple(shape(each) for each in activations.maps),
            tuple(shape(each) for each in activations.preactivations),
            activations.classify is not None,
        )


def _no_network(architecture: str) -> nn.Module:
    raise NotApplicable(f"no network {architecture!r} can be built here")


@dataclass(frozen=True)
class Context:
    """What a baseline may know when it is built.

    teacher, student   shapes of both networks' activations
    num_classes        K
    num_samples        N, the size of the train split in use; a batch's `index` runs over it
    train_labels       [N] int64 (dense tasks [N, H, W]), IGNORE where a label may not be used
    teacher_head       the teacher's frozen classifier, from embedding to logits; None where it has none
    teacher_norms      per teacher preactivation, (weight [C], bias [C]) of the norm behind it, or None
    teacher_pooled     whether the teacher's embedding is the mean over space of its last map, rectified
    student_pooled     the same of the student
    batch_size         the number of samples of a training batch; every one has as many. 0 where it isn't told
    network            architecture -> an untrained network of it that sees what the student sees, batch ->
                       Activations, with weights drawn from torch's global state. Raises UserError for an
                       unknown one
    views              the second views that can be made of all that teacher and student see of a sample
    """

    teacher: Shapes
    student: Shapes
    num_classes: int
    num_samples: int
    train_labels: Tensor
    teacher_head: nn.Module | None = None
    teacher_norms: tuple[tuple[Tensor, Tensor] | None, ...] = ()
    teacher_pooled: bool = False
    student_pooled: bool = False
    batch_size: int = 0
    network: Callable[[str], nn.Module] = _no_network
    views: frozenset[SecondView] = frozenset()


@dataclass(frozen=True)
class Progress:
    """Where training stands: `epoch` of `epochs` and `step` of `steps`, both counted from 0."""

    epoch: int
    epochs: int
    step: int
    steps: int

    @property
    def fraction(self) -> float:
        """The share of training that is done, from 0 to 1."""
        return self.step / max(self.steps, 1)

    def rise(self, share: float) -> float:
        """A linear warm-up: from 0 to 1 over the first `share` of training, 1 from there on."""
        return min(self.fraction / share, 1.0) if share else 1.0

    def fall(self, start: float) -> float:
        """A cosine decay: 1 until the share `start` of training is done, from there down to 0 at its end."""
        if self.fraction <= start:
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (self.fraction - start) / (1 - start)))


@dataclass(frozen=True)
class Stage:
    """A first stage of a baseline, before the students train together.

    share             its length as a share of the run's epochs, one of `Distiller.stage_shares`
    parameters        the baseline's own parameters that train in it
    trains_student    whether the student's body (everything but its classifier) trains too
    by_recipe         whether it trains by the run's own recipe, as a network is trained, instead of the
                      constant rate of first stages
    loss              (teacher, student, batch, progress) -> named loss terms
    """

    name: str
    share: float
    loss: Callable[[Activations, Activations, Batch, Progress], dict[str, Tensor]]
    parameters: tuple[nn.Parameter, ...] = ()
    trains_student: bool = False
    by_recipe: bool = False


class Distiller(nn.Module):
    """A baseline: how a student learns from a teacher.

    A subclass takes its hyper-parameters as keyword arguments with defaults, keeps state in submodules and
    buffers, and returns its loss terms from `forward`. The supervised term is added by the engine:
    `task_weight * task_loss`. It never touches optimiser, device, loader or logger. Random draws come from
    torch's global state, which is the learner's own while it is at work.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()
    """What must be there for it to apply."""

    learns_from: ClassVar[LearnsFrom] = "trained"
    """Which teacher its cohort has: the pair's, the same with its initial weights, or one of the student's
    architecture."""

    second_view: SecondView = ""
    """Which second view of a batch its networks are shown too, as `teacher.second` and `student.second`; a
    composition has that of its parts. Each costs a pass of its own."""

    in_composition: ClassVar[Mapping[str, Any]] = {}
    """Hyper-parameters whose default differs inside `a+b`. Of `task_weight` the part alone is told: the
    composition has one of its own."""

    def __init__(self, context: Context, *, task_weight: float = 1.0):
        super().__init__()
        self.context = context
        self.task_weight = task_weight

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """The named, weighted loss terms of a batch, each a scalar. The teacher carries no gradient."""
        return {}

    def task_loss(self, student: Activations, batch: Batch) -> Tensor:
        """The supervised loss, unweighted: a scalar; here cross-entropy over the labels that may be used.

        It is a loss of `self.predict(student)`. In `a+b`, where another part predicts, `student.logits` are
        that part's predictions.
        """
        return supervised_cross_entropy(self.predict(student), batch["label"], batch["labelled"])

    def predict(self, student: Activations) -> Tensor:
        """The logits that the trained student is judged by, [B, K]."""
        return student.logits

    def first_stages(self) -> tuple[Stage, ...]:
        """First stages, in order; most baselines have none."""
        return ()

    @classmethod
    def stage_shares(cls, hyperparameters: Mapping[str, Any]) -> tuple[float, ...]:
        """The shares of its first stages, told before it is built: a plan counts updates with them.

        hyperparameters   its own, every one resolved
        """
        return ()

    def diagnostics(self, teacher: Activations, student: Activations, batch: Batch) -> dict[str, np.ndarray]:
        """Small arrays of one batch that are worth a figure: a coupling, a similarity matrix.

        A number (an array without axes) is followed over the epochs; of arrays, those of the first epoch and
        of the end are kept. Names that two baselines share are drawn side by side.
        """
        return {}


def supervised_cross_entropy(
    logits: Tensor, label: Tensor, labelled: Tensor, smoothing: float = 0.0
) -> Tensor:
    """Mean cross-entropy over the labels that may be used; zero (with a graph) when there is none.

    logits [B, K, *space], label [B, *space] int64, labelled [B] bool. Pixels count like samples. `smoothing`
    is the share of a label that is spread over all K classes.
    """
    usable = labelled.view(-1, *[1] * (label.ndim - 1))
    target = torch.where(usable, label, torch.full_like(label, IGNORE))
    total = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="sum", label_smoothing=smoothing)
    return total / (target != IGNORE).sum().clamp(min=1)
