"""How predictions are scored: a task's metrics, and what a report is told about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from benchmark import records
from benchmark.contracts import IGNORE, Data, Task

KNOWN = {
    "top1": records.Metric("Top-1 accuracy", "top-1", "max", "%", 100),
    "top5": records.Metric("Top-5 accuracy", "top-5", "max", "%", 100),
    "miou": records.Metric("Mean intersection over union", "mIoU", "max", "%", 100),
    "pixel_accuracy": records.Metric("Pixel accuracy", "pixel acc.", "max", "%", 100),
    "agreement": records.Metric("Agreement with the teacher", "agreement", "max", "%", 100),
    "nll": records.Metric("Negative log-likelihood", "NLL", "min", "nats"),
    "brier": records.Metric("Brier score", "Brier", "min"),
    "ece": records.Metric("Expected calibration error", "ECE", "min", "%", 100),
    "kl_to_teacher": records.Metric("KL divergence from teacher to student", "KL", "min", "nats"),
}


GUESSES = {"top1": 1, "top5": 5}
"""How many of the classes an answer may name."""


def metrics_of(task: Task, data: Data) -> MetricCollection:
    """What a dataset of `task` is scored by, the primary metric first; nothing where nothing is labelled."""
    own = task.metrics(data)
    return default_metrics(data) if own is None else own


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
    """Top-1 accuracy, and top-5 where there are more than five classes; the first one is the primary one."""
    metrics: dict[str, Metric] = {}
    for k in (1, 5):
        if k < num_classes:
            metrics[f"top{k}"] = MulticlassAccuracy(
                num_classes, top_k=k, average="micro", ignore_index=IGNORE
            )
    return MetricCollection(metrics, compute_groups=False)  # pyright: ignore[reportArgumentType]


def information(
    metrics: MetricCollection, further: Iterable[str] = (), num_classes: int | None = None
) -> dict[str, records.Metric]:
    """Titles, units and directions of a task's metrics and of `further` ones; the first is primary.

    num_classes   tells what guessing would score, where a metric is the share of right answers
    """
    shown: dict[str, records.Metric] = {}
    for name, metric in metrics.items(keep_base=True):
        direction = "max" if metric.higher_is_better else "min"
        shown[str(name)] = KNOWN.get(str(name), records.Metric(str(name), str(name), direction))
    shown |= {name: KNOWN[name] for name in further}
    first = next(iter(shown), None)
    return {
        name: replace(
            metric,
            primary=name == first,
            chance=GUESSES[name] / num_classes if num_classes and name in GUESSES else None,
        )
        for name, metric in shown.items()
    }


def _has_everything() -> bool:
    """Whoever scores has all predictions: nothing is to be gathered, also where processes train together."""
    return False


def score(metrics: MetricCollection, logits: Tensor, labels: Tensor) -> dict[str, float]:
    """The task's metrics of logits [N, K, ...] against labels [N, ...]; none where the data has no labels."""
    if not len(metrics):
        return {}
    for metric in metrics.values(copy_state=False):
        metric.distributed_available_fn = _has_everything
    metrics.reset()
    metrics.update(logits, labels)
    return {name: float(value) for name, value in metrics.compute().items()}
