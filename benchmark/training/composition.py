"""Builds the distiller of a baseline's name, `a+b` included, with its hyper-parameters resolved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from benchmark.contracts import Activations, Batch, Context, Distiller, NotApplicable, Prelude, Progress
from benchmark.plugins import Baseline


class Composition(Distiller):
    """Several baselines at once: their terms side by side, one supervised term of weight 1."""

    def __init__(self, context: Context, parts: Mapping[str, Distiller], *, task_weight: float = 1.0):
        super().__init__(context, task_weight=task_weight)
        self.parts = nn.ModuleDict(parts)
        self._task = self._only_override("task_loss")
        self._prediction = self._only_override("predict")

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        for name, part in self.parts.items():
            for term, value in part(teacher, student, batch, progress).items():
                terms[f"{name}.{term}" if term in terms else term] = value
        return terms

    def task_loss(self, student: Activations, batch: Batch) -> Tensor:
        return (
            super().task_loss(student, batch)
            if self._task is None
            else self.parts[self._task].task_loss(student, batch)
        )

    def predict(self, student: Activations) -> Tensor:
        return (
            super().predict(student)
            if self._prediction is None
            else self.parts[self._prediction].predict(student)
        )

    def preludes(self) -> tuple[Prelude, ...]:
        return tuple(prelude for part in self.parts.values() for prelude in part.preludes())

    def diagnostics(self, teacher: Activations, student: Activations, batch: Batch) -> dict[str, np.ndarray]:
        return {
            f"{name}.{key}": array
            for name, part in self.parts.items()
            for key, array in part.diagnostics(teacher, student, batch).items()
        }

    def _only_override(self, method: str) -> str | None:
        own = [
            n
            for n, part in self.parts.items()
            if getattr(type(part), method) is not getattr(Distiller, method)
        ]
        if len(own) > 1:
            raise NotApplicable(f"{' and '.join(own)} each bring a {method} of their own")
        return own[0] if own else None


def learns_from(parts: tuple[Baseline, ...]) -> str:
    """Which teacher a baseline made of `parts` has: a trained one unless a part asks for another."""
    asked = {part.distiller.learns_from for part in parts} - {"trained"}
    return asked.pop() if len(asked) == 1 else "trained"


def resolve_hyperparameters(
    parts: tuple[Baseline, ...],
    published: Mapping[str, Mapping[str, Any]],
    overrides: Mapping[str, Any],
) -> dict[str, Any]:
    """Every hyper-parameter of a baseline, by name; in a composition as `part.name`, plus its `task_weight`.

    published   the pair's own values, per baseline; they beat the baseline's defaults
    overrides   the user's, keyed like the result; they beat everything
    """
    alone = len(parts) == 1
    resolved: dict[str, Any] = {} if alone else {"task_weight": 1.0}
    for part in parts:
        values = {name: each.default for name, each in part.hyperparameters.items()}
        if not alone:
            values |= part.distiller.in_composition
        values |= published.get(part.name, {})
        if not alone:
            values.pop("task_weight", None)  # there is one supervised term, and it is the composition's
        resolved |= {name if alone else f"{part.name}.{name}": value for name, value in values.items()}
    return resolved | overrides


def build_distiller(
    parts: tuple[Baseline, ...], context: Context, hyperparameters: Mapping[str, Any]
) -> Distiller:
    """The distiller of a baseline. Raises NotApplicable where a part can't work with these networks."""
    for part in parts:
        check_needs(part.distiller.needs, context)
    if len({part.distiller.learns_from for part in parts} - {"trained"}) > 1:
        raise NotApplicable("its parts ask for different teachers")
    if len(parts) == 1:
        return parts[0].distiller(context, **hyperparameters)
    built = {}
    for part in parts:
        prefix = f"{part.name}."
        own = {k.removeprefix(prefix): v for k, v in hyperparameters.items() if k.startswith(prefix)}
        built[part.name] = part.distiller(context, **own)
    return Composition(context, built, task_weight=hyperparameters["task_weight"])


def check_needs(needs: frozenset[str], context: Context) -> None:
    """Raises NotApplicable where a baseline needs what these networks or these data don't have."""
    if "logits" in needs and context.teacher.logits != context.student.logits:
        raise NotApplicable(
            f"logits of the teacher {context.teacher.logits}, of the student {context.student.logits}"
        )
    for name in ("maps", "preactivations"):
        if name in needs:
            for side, shapes in (("teacher", context.teacher), ("student", context.student)):
                if not getattr(shapes, name):
                    raise NotApplicable(f"the {side} shows no {name}")
    if "labels" in needs and not bool((context.train_labels >= 0).any()):
        raise NotApplicable("no training label may be used")
