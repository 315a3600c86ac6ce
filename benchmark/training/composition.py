"""Builds the distiller of a baseline's name, `a+b` included, with its hyper-parameters resolved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from benchmark.contracts import Activations, Batch, Context, Distiller, NotApplicable, Progress, Stage
from benchmark.contracts.distiller import SecondView, supervised_cross_entropy
from benchmark.data.views import REQUIREMENTS
from benchmark.planning.hyperparameters import stage_shares
from benchmark.plugins import Baseline


class Composition(Distiller):
    """Several baselines at once: their terms side by side, one supervised term of weight 1."""

    def __init__(self, context: Context, parts: Mapping[str, Distiller], *, task_weight: float = 1.0):
        super().__init__(context, task_weight=task_weight)
        self.parts = nn.ModuleDict(dict(parts))
        for _, part in self.named_parts():
            self.second_view = part.second_view or self.second_view
        self._task = self._only_override("task_loss")
        self._prediction = self._only_override("predict")
        self._last: tuple[Activations, Activations] | None = None

    def named_parts(self) -> Iterator[tuple[str, Distiller]]:
        """Its baselines by name."""
        for name, part in self.parts.items():
            assert isinstance(part, Distiller)
            yield name, part

    def _part(self, name: str) -> Distiller:
        return dict(self.named_parts())[name]

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        judged, self._last = self._judged(student), None
        for name, part in self.named_parts():
            shown = student if name == self._prediction else judged
            found = named_terms(part(teacher, shown, batch, progress), f"{name}'s forward")
            for term, value in found.items():
                terms[f"{name}.{term}" if term in terms else term] = value
        return terms

    def task_loss(self, student: Activations, batch: Batch) -> Tensor:
        if self._task is not None and self._task == self._prediction:
            return self._part(self._task).task_loss(student, batch)
        judged = self._judged(student)
        if self._task is not None:
            return self._part(self._task).task_loss(judged, batch)
        return supervised_cross_entropy(judged.logits, batch["label"], batch["labelled"])

    def _judged(self, student: Activations) -> Activations:
        """The student with the logits that the whole predicts with, where a part brings its own: all others
        are to teach those, and not a classifier whose answers nobody reads.

        Made once for the supervised loss and the terms of a step, as a head may keep running statistics.
        """
        if self._prediction is None:
            return student
        if self._last is None or self._last[0] is not student:
            self._last = student, replace(student, logits=self.predict(student))
        return self._last[1]

    def predict(self, student: Activations) -> Tensor:
        return (
            super().predict(student)
            if self._prediction is None
            else self._part(self._prediction).predict(student)
        )

    def first_stages(self) -> tuple[Stage, ...]:
        return tuple(stage for _, part in self.named_parts() for stage in part.first_stages())

    def diagnostics(self, teacher: Activations, student: Activations, batch: Batch) -> dict[str, np.ndarray]:
        return {
            f"{name}.{key}": array
            for name, part in self.named_parts()
            for key, array in part.diagnostics(teacher, student, batch).items()
        }

    def _only_override(self, method: str) -> str | None:
        own = [
            n
            for n, part in self.named_parts()
            if getattr(type(part), method) is not getattr(Distiller, method)
        ]
        if len(own) > 1:
            raise NotApplicable(f"{' and '.join(own)} each bring a {method} of their own")
        return own[0] if own else None


def build_distiller(
    parts: tuple[Baseline, ...],
    context: Context,
    hyperparameters: Mapping[str, Any],
    *,
    labels_are_told: bool = True,
) -> Distiller:
    """The distiller of a baseline. Raises NotApplicable where a part can't work with these networks.

    labels_are_told   whether the context's labels are those of training; if not, batches alone have them

    ValueError where its first stages are not as long as it told the plan, or where it keeps tensors or layers
    that nothing saves.
    """
    for part in parts:
        check_needs(part.distiller.needs - (set() if labels_are_told else {"labels"}), context)
        check_view(part.distiller.second_view, context)
    if len({part.distiller.learns_from for part in parts} - {"trained"}) > 1:
        raise NotApplicable("its parts ask for different teachers")
    if len({part.distiller.second_view for part in parts} - {""}) > 1:
        raise NotApplicable("its parts ask for different second views")
    distiller = _built(parts, context, hyperparameters)
    stages, declared = distiller.first_stages(), stage_shares(parts, hyperparameters)
    if tuple(stage.share for stage in stages) != declared:
        raise ValueError(
            f"first_stages() take the shares {[stage.share for stage in stages]} of the epochs: "
            f"stage_shares() must tell them beforehand, and tells {list(declared)}"
        )
    if lost := ", ".join(_unregistered(distiller)):
        raise ValueError(
            f"{lost}: tensors and layers in plain attributes are not saved, moved or trained: make them "
            "buffers (register_buffer), nn.Parameter or nn.ModuleList"
        )
    return distiller


def _unregistered(distiller: Distiller) -> Iterator[str]:
    """The attributes in which it, or a module of it, keeps state that torch doesn't know of."""
    known = {id(each) for each in (*distiller.modules(), *distiller.parameters(), *distiller.buffers())}
    for path, module in distiller.named_modules():
        for name, value in vars(module).items():
            within = value.values() if isinstance(value, dict) else value
            held = list(within) if isinstance(value, dict | list | tuple | set) else [value]
            if any(isinstance(each, Tensor | nn.Module) and id(each) not in known for each in held):
                yield f"{path}.{name}".lstrip(".")


def _built(parts: tuple[Baseline, ...], context: Context, hyperparameters: Mapping[str, Any]) -> Distiller:
    if len(parts) == 1:
        return parts[0].distiller(context, **hyperparameters)
    built = {}
    for part in parts:
        prefix = f"{part.name}."
        own = {k.removeprefix(prefix): v for k, v in hyperparameters.items() if k.startswith(prefix)}
        # The composition weighs the supervised term; this is for a part that brings that term.
        own |= {k: v for k, v in part.distiller.in_composition.items() if k == "task_weight"}
        built[part.name] = part.distiller(context, **own)
    return Composition(context, built, task_weight=hyperparameters["task_weight"])


def named_terms(found: object, source: str) -> dict[str, Tensor]:
    """What a loss returned, if it is named scalars; TypeError or ValueError, with its `source`, if not.

    A term for each sample would be summed over the batch, and weigh as much more.
    """
    if not isinstance(found, Mapping):
        raise TypeError(f"{source} returns a {type(found).__name__}: return a dict of named terms")
    for name, term in found.items():
        if not isinstance(term, Tensor):
            raise TypeError(f"{source} returns the term {name!r} as a {type(term).__name__}: return a tensor")
        if term.ndim:
            raise ValueError(
                f"{source} returns the term {name!r} of shape {tuple(term.shape)}: return a scalar"
            )
        if term.is_complex():
            raise ValueError(f"{source} returns the term {name!r} as complex numbers: return a real one")
    return {**found}


def predicts_with_network(distiller: Distiller) -> bool:
    """Whether the trained student is judged by its network's own logits, not by a head of the baseline's."""
    if isinstance(distiller, Composition):
        return all(predicts_with_network(part) for _, part in distiller.named_parts())
    return type(distiller).predict is Distiller.predict


def predicting_buffers(distiller: Distiller) -> dict[str, Tensor]:
    """The buffers that a head of the baseline's predicts with (running statistics, say), by their names in
    the distiller; none where the network's own logits are the prediction."""
    if predicts_with_network(distiller):
        return {}
    if not isinstance(distiller, Composition):
        return dict(distiller.named_buffers())
    return {
        f"parts.{name}.{buffer}": x
        for name, part in distiller.named_parts()
        for buffer, x in predicting_buffers(part).items()
    }


def has_diagnostics(distiller: Distiller) -> bool:
    """Whether a baseline shows anything of itself."""
    if isinstance(distiller, Composition):
        return any(has_diagnostics(part) for _, part in distiller.named_parts())
    return type(distiller).diagnostics is not Distiller.diagnostics


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


def check_view(view: SecondView, context: Context) -> None:
    """Raises NotApplicable where a baseline asks for a second view that these data can't give."""
    if view and view not in context.views:
        raise NotApplicable(f"its {view} view takes {REQUIREMENTS[view]}")
