"""A student with its distiller as one module, and how networks are built and looked at."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from benchmark.contracts import Activations, Batch, Context, Data, Distiller, Prelude, Progress, Shapes
from benchmark.errors import UserError
from benchmark.models import build
from benchmark.models.network import Network, look
from benchmark.seeds import RandomStream


class Learner(nn.Module):
    """Student + distiller; its forward pass returns the weighted loss terms of a batch, each a scalar."""

    def __init__(self, network: Network, distiller: Distiller, modalities: tuple[str, ...]):
        super().__init__()
        self.network, self.distiller, self.modalities = network, distiller, modalities
        self.prelude: Prelude | None = None

    def forward(self, teacher: Activations | None, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """The terms of one batch; without a teacher (it is one in training) the supervised term alone."""
        student = look(self.network, batch, self.modalities)
        if self.prelude is not None:
            return self.prelude.loss(teacher, student, batch, progress)
        terms = {}
        if self.distiller.task_weight:
            terms["task"] = self.distiller.task_weight * self.distiller.task_loss(student, batch)
        if teacher is not None:
            terms |= self.distiller(teacher, student, batch, progress)
        return terms

    def predict(self, batch: Batch) -> tuple[Tensor, Activations]:
        """The logits [B, K] that the learner is judged by, and the student's activations."""
        student = look(self.network, batch, self.modalities)
        return self.distiller.predict(student), student

    def finished_weights(self) -> dict[str, Tensor]:
        """What is worth keeping when training is over: the student's state, the distiller's parameters.

        The distiller's buffers (memory banks can be larger than the student) serve training alone.
        """
        student = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        return student | {f"distiller.{name}": value for name, value in self.distiller.named_parameters()}


def make_network(
    architecture: str, data: Data, modalities: tuple[str, ...], seed: int, device: torch.device
) -> Network:
    """A network with weights drawn from `seed` alone, on `device` and in its memory format.

    Raises UserError for one that answers per image where the data has labels per pixel, or the reverse.
    """
    shapes = [data.modalities[name].shape for name in modalities]
    with RandomStream(seed, torch.device("cpu")).active():
        network = build(architecture, shapes, len(data.classes))
    if network.dense != data.dense:
        labels, kind = ("pixel", "unet2d_16") if data.dense else ("sample", "conv2d_16")
        raise UserError(
            f"{architecture} does not fit {data.name}, which has a label per {labels}: take one like {kind}"
        )
    return network.to(device=device, memory_format=network.memory_format)


def describe(
    teacher: tuple[Network, tuple[str, ...]],
    student: tuple[Network, tuple[str, ...]],
    batch: Batch,
    num_classes: int,
    train_labels: Tensor,
) -> Context:
    """What a distiller may know of its networks (each with what it sees), from one pass over a batch."""
    network = teacher[0]
    norms = tuple(
        None if norm is None else (norm.weight.detach().clone(), norm.bias.detach().clone())
        for norm in network.norms()
    )
    shown = _shown(*teacher, batch)
    return Context(
        Shapes.of(shown),
        Shapes.of(_shown(*student, batch)),
        num_classes,
        len(train_labels),
        train_labels,
        network.head,
        norms,
        _pooled(shown),
    )


@torch.no_grad()
def _shown(network: Network, modalities: tuple[str, ...], batch: Mapping[str, Tensor]) -> Activations:
    was_training = network.training
    shown = look(network.eval(), dict(batch), modalities)
    network.train(was_training)
    return shown


def _pooled(shown: Activations) -> bool:
    """Whether the embedding is the mean over space of the last map, rectified."""
    if not shown.maps or shown.last_feature.shape[:2] != shown.embedding.shape:
        return False
    return torch.allclose(shown.last_feature.flatten(2).mean(2), shown.embedding, rtol=1e-3, atol=1e-5)
