"""A student with its distiller as one module, and how networks are built and looked at."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from benchmark.contracts import Activations, Batch, Context, Data, Distiller, Progress, Shapes, Stage
from benchmark.contracts.distiller import SecondView
from benchmark.errors import UserError
from benchmark.evaluation.predictor import evaluating
from benchmark.models import Network, build
from benchmark.models.network import place
from benchmark.seeds import RandomStream
from benchmark.training.composition import named_terms, predicting_buffers, predicts_with_network


class Learner(nn.Module):
    """Student + distiller; its forward pass returns the weighted loss terms of a batch, each a scalar."""

    def __init__(self, network: Network, distiller: Distiller):
        super().__init__()
        self.network, self.distiller = network, distiller
        self.stage: Stage | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        """What its student sees of a batch."""
        return self.network.modalities

    @property
    def second_view(self) -> SecondView:
        """Which second view of a batch it asks for."""
        return self.distiller.second_view

    @property
    def head(self) -> nn.Module | None:
        """The student's own classifier, whether its predictions use it or not."""
        return self.network.head

    def forward(
        self, teacher: Activations | None, batch: Batch, progress: Progress, second: Batch | None = None
    ) -> dict[str, Tensor]:
        """The terms of one batch; without a teacher (it is one in training) the supervised term alone.

        second   the second view of the batch, where the distiller asks for one
        """
        return self.terms(teacher, self.shown(batch, second), batch, progress)

    def shown(self, batch: Batch, second: Batch | None) -> Activations:
        """What its student shows of a batch, and of its second view."""
        student = self.network(batch)
        return student if second is None else replace(student, second=self.network(second))

    def terms(
        self, teacher: Activations | None, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """The terms of what networks show of a batch."""
        if self.stage is not None:
            assert teacher is not None  # a first stage learns from one
            return named_terms(
                self.stage.loss(teacher, student, batch, progress), f"stage {self.stage.name!r}"
            )
        terms = {}
        if weight := self.distiller.task_weight:
            terms = named_terms({"task": self.distiller.task_loss(student, batch)}, "task_loss")
            terms["task"] = weight * terms["task"]
        if teacher is not None:
            own = named_terms(self.distiller(teacher, student, batch, progress), "forward")
            if "task" in terms.keys() & own.keys():
                raise ValueError(
                    "forward returns a term 'task', which is the supervised one: name it otherwise"
                )
            terms |= own
        return terms

    def predict(self, batch: Batch) -> tuple[Tensor, Activations]:
        """The logits [B, K] that the learner is judged by, and the student's activations."""
        student = self.network(batch)
        return self.distiller.predict(student), student

    def deciding_weights(self) -> dict[str, Tensor]:
        """What its predictions depend on: the student's state, and the distiller's where that predicts."""
        state = self.state_dict()
        if predicts_with_network(self.distiller):
            return {name: x for name, x in state.items() if name.startswith("network.")}
        return state

    def finished_weights(self) -> dict[str, Tensor]:
        """What is worth keeping when training is over: the student's state, the distiller's parameters.

        The distiller's buffers (memory banks can be larger than the student) serve training alone, but for
        those of a baseline that predicts by itself.
        """
        kept: dict[str, Tensor] = {f"network.{name}": x for name, x in self.network.state_dict().items()}
        kept.update((f"distiller.{name}", x) for name, x in self.distiller.named_parameters())
        kept.update((f"distiller.{name}", x) for name, x in predicting_buffers(self.distiller).items())
        return kept


def make_network(
    architecture: str, data: Data, modalities: tuple[str, ...], seed: int, device: torch.device
) -> Network:
    """A network with weights drawn from `seed` alone, on `device` and in its memory format.

    Raises UserError for one that answers per image where the data has labels per pixel, or the reverse.
    """
    shapes = [data.modalities[name].shape for name in modalities]
    with RandomStream(seed, torch.device("cpu")).active():
        network = build(architecture, shapes, len(data.classes), modalities)
    if network.dense != data.dense:
        labels, kind = ("pixel", "unet2d_16") if data.dense else ("sample", "conv2d_16")
        raise UserError(
            f"{architecture} does not fit {data.name}, which has a label per {labels}: take one like {kind}"
        )
    place(network, device, network.memory_format)
    return network


def describe(
    teacher: Network,
    student: Network,
    batch: Batch,
    num_classes: int,
    train_labels: Tensor,
    views: frozenset[SecondView] = frozenset(),
) -> Context:
    """What a distiller may know of its networks, from one pass over a batch as large as those of training.

    views   the second views that can be made of what they see
    """
    norms = tuple(None if norm is None else _affine(norm) for norm in teacher.norms())
    theirs, ours = _shown(teacher, batch), _shown(student, batch)
    return Context(
        Shapes.of(theirs),
        Shapes.of(ours),
        num_classes,
        len(train_labels),
        train_labels,
        teacher.head,
        norms,
        pooled(theirs),
        pooled(ours),
        len(ours.logits),
        partial(_another, student.modalities, batch, num_classes),
        views,
    )


def _another(modalities: tuple[str, ...], batch: Batch, num_classes: int, architecture: str) -> Network:
    """An untrained network that sees these modalities of such a batch."""
    return build(architecture, [tuple(batch[name].shape[1:]) for name in modalities], num_classes, modalities)


def _affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a norm, as they are now."""
    weight, bias = (norm.get_parameter(name).detach().clone() for name in ("weight", "bias"))
    return weight, bias


@torch.no_grad()
def _shown(network: Network, batch: Batch) -> Activations:
    with evaluating(network):
        return network(batch)


def pooled(shown: Activations) -> bool:
    """Whether the embedding is the mean over space of the last map, rectified."""
    if not shown.maps or shown.last_feature.shape[:2] != shown.embedding.shape:
        return False
    return torch.allclose(shown.last_feature.flatten(2).mean(2), shown.embedding, rtol=1e-3, atol=1e-5)
