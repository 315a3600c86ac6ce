"""What a finished network predicts, and how it is scored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from benchmark.contracts import IGNORE, Batch, Data
from benchmark.models.network import Network, look

if TYPE_CHECKING:
    from benchmark.training.learner import Learner


@dataclass(frozen=True)
class MetricInfo:
    """How a report shows a metric: `scale` times the value is in `unit`."""

    title: str
    short: str
    direction: str
    unit: str = ""
    scale: float = 1.0
    headline: bool = False


KNOWN = {
    "top1": MetricInfo("Top-1 accuracy", "top-1", "max", "%", 100),
    "top5": MetricInfo("Top-5 accuracy", "top-5", "max", "%", 100),
    "miou": MetricInfo("Mean intersection over union", "mIoU", "max", "%", 100),
    "pixel_accuracy": MetricInfo("Pixel accuracy", "pixel acc.", "max", "%", 100),
    "agreement": MetricInfo("Agreement with the teacher", "agreement", "max", "%", 100),
    "kl_to_teacher": MetricInfo("KL divergence from teacher to student", "KL", "min", "nats"),
}


@dataclass(frozen=True)
class Predictions:
    """What a network says of a split: logits [N, K, ...] and its first embeddings [M, D] (float32, CPU)."""

    logits: Tensor
    embeddings: Tensor


def default_metrics(data: Data) -> MetricCollection:
    """What a task is scored by unless it says otherwise, by the kind of its labels; nothing without any."""
    if not data.test.labelled:
        return MetricCollection({})
    make = segmentation_metrics if data.dense else classification_metrics
    return make(len(data.classes))


def segmentation_metrics(num_classes: int) -> MetricCollection:
    """Mean intersection over union (over the classes that occur) and the share of right pixels."""
    return MetricCollection(
        {
            "miou": MulticlassJaccardIndex(num_classes, average="macro", ignore_index=IGNORE),
            "pixel_accuracy": MulticlassAccuracy(num_classes, average="micro", ignore_index=IGNORE),
        },
        compute_groups=False,
    )


def classification_metrics(num_classes: int) -> MetricCollection:
    """Top-1 accuracy, and top-5 where there are more than five classes; the first one is the headline."""
    metrics: dict[str, Metric] = {}
    for k in (1, 5):
        if k < num_classes:
            metrics[f"top{k}"] = MulticlassAccuracy(
                num_classes, top_k=k, average="micro", ignore_index=IGNORE
            )
    return MetricCollection(metrics, compute_groups=False)


def information(metrics: MetricCollection, further: Iterable[str] = ()) -> dict[str, dict]:
    """Titles, units and directions of a task's metrics and of `further` ones; the first is the headline."""
    shown: dict[str, MetricInfo] = {}
    for name, metric in metrics.items(keep_base=True):
        direction = "max" if metric.higher_is_better else "min"
        shown[name] = KNOWN.get(name, MetricInfo(name, name, direction))
    shown |= {name: KNOWN[name] for name in further}
    first = next(iter(shown), None)
    return {name: asdict(metric) | {"headline": name == first} for name, metric in shown.items()}


def score(metrics: MetricCollection, logits: Tensor, labels: Tensor) -> dict[str, float]:
    """The task's metrics of logits [N, K, ...] against labels [N, ...]; none where the data has no labels."""
    if not len(metrics):
        return {}
    metrics.reset()
    metrics.update(logits, labels)
    return {name: float(value) for name, value in metrics.compute().items()}


@torch.no_grad()
def predict(learner: Learner, batches: Iterable[Batch], fabric: Fabric, keep: int = 0) -> Predictions:
    """A learner's predictions in eval mode, with the embeddings of the first `keep` samples."""
    was_training = learner.training
    learner.eval()
    logits, embeddings, kept = [], [], 0
    with fabric.autocast():
        for batch in batches:
            predicted, seen = learner.predict(batch)
            logits.append(predicted.float().cpu())
            if kept < keep:
                embeddings.append(seen.embedding[: keep - kept].float().cpu())
                kept += len(embeddings[-1])
    learner.train(was_training)
    return Predictions(torch.cat(logits), torch.cat(embeddings) if embeddings else torch.empty(0))


@torch.no_grad()
def predict_network(
    network: Network, modalities: tuple[str, ...], batches: Iterable[Batch], fabric: Fabric
) -> Tensor:
    """The logits [N, K, ...] of a network that is not being trained."""
    with fabric.autocast():
        return torch.cat([look(network, batch, modalities).logits.float().cpu() for batch in batches])
