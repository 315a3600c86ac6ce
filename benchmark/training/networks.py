"""How the networks of a training are built, and what a distiller is told of them."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from benchmark.contracts import Activations, Batch, Context, Data, Shapes
from benchmark.contracts.distiller import SecondView
from benchmark.errors import UserError
from benchmark.evaluation.predictor import evaluating
from benchmark.models import Network, build
from benchmark.models.network import place
from benchmark.seeds import RandomStream


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
