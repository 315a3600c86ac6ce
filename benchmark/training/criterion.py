"""A baseline as a module for anybody's own training loop, without this engine's data, recipes or records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmark import plugins
from benchmark.contracts import (
    IGNORE,
    Activations,
    Context,
    Distiller,
    NotApplicable,
    Progress,
    Shapes,
    Stage,
)
from benchmark.errors import UserError
from benchmark.planning.hyperparameters import learns_from, resolve_hyperparameters
from benchmark.planning.overrides import hyperparameter_of, typed
from benchmark.plugins import Baseline, Registry
from benchmark.training.composition import build_distiller
from benchmark.training.networks import pooled

RESOLUTION = 2**30
"""The steps into which a share of training is counted."""


class Criterion(nn.Module):
    """The loss of a baseline, or of a composition such as `crd+kd`; `criterion` builds it.

    name              the baseline's
    hyperparameters   every one, resolved; in a composition as `part.name`
    distiller         the baseline itself: its projections are parameters, its memory banks are buffers

    Give its `parameters()` to the optimiser beside the student's, move it to the networks' device, and keep
    its `state_dict()` with theirs: without it a memory bank starts anew.
    """

    def __init__(self, name: str, distiller: Distiller, hyperparameters: Mapping[str, Any]):
        super().__init__()
        self.name, self.hyperparameters = name, dict(hyperparameters)
        self.distiller = distiller

    def forward(
        self,
        teacher: Activations,
        student: Activations,
        label: Tensor | None,
        index: Tensor | None = None,
        *,
        progress: float | Progress,
        labelled: Tensor | None = None,
        stage: Stage | None = None,
    ) -> Tensor:
        """The whole loss of a batch, a scalar: the sum of `terms`, which takes the same arguments."""
        found = self.terms(teacher, student, label, index, progress=progress, labelled=labelled, stage=stage)
        # A method of two stages may have nothing to say in one of them.
        return torch.stack([value.float() for value in found.values()]).sum() if found else _zero(student)

    def terms(
        self,
        teacher: Activations,
        student: Activations,
        label: Tensor | None,
        index: Tensor | None = None,
        *,
        progress: float | Progress,
        labelled: Tensor | None = None,
        stage: Stage | None = None,
    ) -> dict[str, Tensor]:
        """The named, weighted terms of a batch, each a scalar; the supervised one is `task`.

        label      [B] int64 (one per pixel: [B, H, W]), -1 where there is none; None where no sample has one
        index      [B] int64: which of the N training samples these are; None where no part asks for it
        progress   the share of training that is done, from 0 to 1: warm-ups and decays go by it
        labelled   [B] bool: whose labels may be used; by default those with any
        stage      one of `first_stages`: its terms alone

        The teacher gets no gradient. Random draws come from torch's global state. Raises UserError where a
        part reads what isn't given.
        """
        rows = len(student.logits)
        if label is None:
            label = torch.full((rows, *student.logits.shape[2:]), IGNORE, device=student.logits.device)
        if labelled is None:
            labelled = (label != IGNORE).view(rows, -1).any(1)
        batch = _Given(label=label, labelled=labelled)
        if index is not None:
            batch["index"] = index
        teacher, now = teacher.map(Tensor.detach), _progress(progress)
        if stage is not None:
            return stage.loss(teacher, student, batch, now)
        found = {}
        if self.distiller.task_weight:
            found["task"] = self.distiller.task_weight * self.distiller.task_loss(student, batch)
        return found | self.distiller(teacher, student, batch, now)

    def predict(self, student: Activations) -> Tensor:
        """The logits [B, K] that the student is judged by: its network's own, but for SimKD and its like."""
        return self.distiller.predict(student)

    @property
    def first_stages(self) -> tuple[Stage, ...]:
        """The trainings that come before the student's, in order.

        Each says its `share` of the student's epochs, the `parameters` that it trains, and whether the
        student's body trains in it too (`trains_student`).
        """
        return self.distiller.first_stages()

    def extra_repr(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in self.hyperparameters.items())
        return f"{self.name!r}, {settings}"


def criterion(
    name: str,
    *,
    teacher: Activations,
    student: Activations,
    num_classes: int = 0,
    train_labels: Tensor | Sequence[int] | None = None,
    num_samples: int | None = None,
    batch_size: int = 0,
    teacher_norms: Sequence[tuple[Tensor, Tensor] | None] = (),
    with_first_stages: bool = False,
    **hyperparameters: Any,
) -> Criterion:
    """The baseline `name` (or `a+b`) for these two networks.

    teacher, student    what they show of any one batch: the shapes of what the criterion will be given
    num_classes         K; by default as many as the student has logits
    train_labels        [N] int64 labels of the training samples, -1 where there is none
    num_samples         N, where their labels aren't told; a batch's `index` runs over it
    batch_size          of training, where the one shown is of another size; every batch must have it (SemCKD)
    teacher_norms       per preactivation of the teacher, (weight [C], bias [C]) of the norm behind it (OFD)
    with_first_stages   that you train `first_stages` before the student; a baseline that has any is refused
                        without this
    hyperparameters     as `--set` takes them. In a composition a part has a mapping of its own:
                        `crd={"temperature": 0.1}`

    Raises UserError for names and values that can't be meant, NotApplicable where the baseline can't work
    with these networks or outside of this engine; both say why.
    """
    registry = plugins.load()
    parts = registry.parts(name)
    _check_teacher(parts)
    _check_views(parts)
    classes = student.logits.shape[1]
    if num_classes and num_classes != classes:
        raise UserError(f"num_classes is {num_classes}, and the student has {classes} logits")
    theirs, ours = (each.map(Tensor.detach) for each in (teacher, student))
    labels = _labels(train_labels, num_samples, tuple(student.logits.shape[2:]))
    head = teacher.classify if isinstance(teacher.classify, nn.Module) else None
    context = (_Unsized if labels is None else Context)(
        Shapes.of(theirs),
        Shapes.of(ours),
        classes,
        0 if labels is None else len(labels),
        torch.empty(0, dtype=torch.int64) if labels is None else labels,
        head,
        _norms(teacher_norms, theirs),
        pooled(theirs),
        pooled(ours),
        batch_size or len(ours.logits),
        _no_network,
    )
    resolved = resolve_hyperparameters(parts, {}, _overrides(name, hyperparameters, registry))
    distiller = build_distiller(parts, context, resolved, labels_are_told=train_labels is not None)
    stages = [stage.name for stage in distiller.first_stages()]
    if stages and not with_first_stages:
        raise NotApplicable(
            f"{name} trains {', '.join(stages)} before the student: give with_first_stages=True and train "
            "each of the criterion's first_stages yourself"
        )
    return Criterion(name, distiller, resolved)


@dataclass(frozen=True)
class _Unsized(Context):
    """The context of training samples that weren't told: a baseline that asks for them is refused."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("num_samples", "train_labels"):
            raise UserError("it asks for the training samples: give train_labels, or num_samples alone")
        return super().__getattribute__(name)


class _Given(dict[str, Tensor]):
    """A batch that tells what it lacks."""

    def __missing__(self, name: str) -> Tensor:
        if name == "index":
            raise UserError("it asks which training samples these are: give index, [B] int64 from 0 to N - 1")
        raise UserError(f"it reads {name!r} of a batch, which a criterion doesn't have")


def _check_teacher(parts: tuple[Baseline, ...]) -> None:
    other = learns_from(parts)
    if other != "trained":
        names = ", ".join(part.name for part in parts if part.distiller.learns_from == other)
        raise NotApplicable(
            f"{names} learns from a teacher that this engine makes ({other.replace('_', ' ')}), not from "
            "one that it is given"
        )


def _check_views(parts: tuple[Baseline, ...]) -> None:
    for part in parts:
        if view := part.distiller.second_view:
            raise NotApplicable(
                f"{part.name} compares each batch with a second, {view} view of it, which this engine makes "
                "and a criterion isn't given"
            )


def _no_network(architecture: str) -> nn.Module:
    raise NotApplicable(
        f"it trains a network of its own ({architecture}), which this engine makes: train that one with a "
        "criterion, and give it as the teacher of another"
    )


def _labels(
    train_labels: Tensor | Sequence[int] | None, num_samples: int | None, grid: tuple[int, ...]
) -> Tensor | None:
    """[N, *grid] int64 on the CPU, IGNORE where no label is known; None where not even N is."""
    if train_labels is None:
        return None if num_samples is None else torch.full((num_samples, *grid), IGNORE)
    labels = torch.as_tensor(train_labels, dtype=torch.int64, device="cpu")
    if num_samples not in (None, len(labels)):
        raise UserError(f"num_samples is {num_samples}, and train_labels has {len(labels)}: give one of them")
    return labels


def _norms(
    given: Sequence[tuple[Tensor, Tensor] | None], teacher: Activations
) -> tuple[tuple[Tensor, Tensor] | None, ...]:
    """One per preactivation, as they are now."""
    shown = len(teacher.preactivations)
    if given and len(given) != shown:
        raise UserError(f"teacher_norms has {len(given)}, and the teacher shows {shown} preactivations")
    return tuple(
        None if norm is None else (norm[0].detach().clone(), norm[1].detach().clone())
        for norm in given or [None] * shown
    )


def _overrides(name: str, given: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    """The hyper-parameters that are given, checked, keyed as a composition has them."""
    return {
        field: typed(f"{field}={value!r}", hyperparameter_of(name, field, registry), value)
        for field, value in _flat(given)
    }


def _flat(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{field}", own) for field, own in value.items())
        else:
            yield name, value


def _progress(given: float | Progress) -> Progress:
    if isinstance(given, Progress):
        return given
    if not 0 <= given <= 1:
        raise UserError(f"progress is the share of training that is done, from 0 to 1, and {given} is none")
    step = round(given * RESOLUTION)
    return Progress(epoch=step, epochs=RESOLUTION, step=step, steps=RESOLUTION)


def _zero(student: Activations) -> Tensor:
    return student.logits.float().sum() * 0.0
