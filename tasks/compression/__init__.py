"""Compression: a small student learns to classify images from a large teacher that sees the same ones."""

from __future__ import annotations

from collections.abc import Callable

from benchmark import Data, DatasetCard, Pair, Preset, Request, Target, Task, task
from tasks.compression import cards, pairs


@task("compression", title="Model compression")
class Compression(Task):
    """Image classification; teacher and student see the same RGB image."""

    def datasets(self) -> dict[str, DatasetCard]:
        return cards.cards()

    def pairs(self, dataset: str) -> dict[str, Pair]:
        return pairs.pairs(dataset)

    def custom_pair(self, dataset: str, name: str) -> Pair | None:
        """TEACHER-STUDENT for any two architectures, `torchvision:NAME` and `timm:NAME` among them."""
        from benchmark.models import teacher_and_student

        found = teacher_and_student(name)
        return None if found is None else pairs.custom(dataset, *found)

    def transfer(self, data: Data, request: Request) -> dict[str, Callable[[], Target]]:
        from tasks.compression import transfer

        return transfer.targets(data, request)

    def presets(self) -> dict[str, Preset]:
        published = tuple(f"{teacher}-{student}" for teacher, student in pairs.CRD_BENCHMARK)
        return {
            "quick": Preset(
                ("shapes",),
                ("conv2d_32-conv2d_8",),
                epochs=80,
                teacher_epochs=10,
                train_samples=400,
                teacher_samples=4000,
            ),
            "standard": Preset(("cifar100",), published[:1] + published[5:6], epochs=60, teacher_epochs=60),
            "paper": Preset(("cifar100",), published, validation=0.0),
        }
