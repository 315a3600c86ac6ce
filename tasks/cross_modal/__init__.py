"""Cross-modal distillation: the student sees one modality of a scene, its teacher another."""

from __future__ import annotations

from collections.abc import Callable

from benchmark import Data, DatasetCard, Pair, Preset, Request, Target, Task, task
from tasks.cross_modal import cards, pairs

FEW_LABELS, DISJOINT = 0.1, "disjoint"
"""Labels are few, and the teacher learnt from other scenes: it can't hand over the labels that are hidden."""


@task("cross_modal", title="Cross-modal distillation")
class CrossModal(Task):
    """The teacher is trained on labelled scenes; the student has labels for few of its own."""

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
        from tasks.cross_modal import transfer

        return transfer.targets(data, request, self.datasets())

    def presets(self) -> dict[str, Preset]:
        real = ("torchvision:resnet50-torchvision:resnet18",)
        few = {"label_fraction": FEW_LABELS, "teacher_data": DISJOINT}
        return {
            "quick": Preset(
                ("rooms",), ("conv2d_16_deep-conv2d_8_deep",), epochs=10, teacher_epochs=20, **few
            ),
            "standard": Preset(("nyuv2",), real, epochs=60, teacher_epochs=60, **few),
            "paper": Preset(("nyuv2",), real, epochs=120, teacher_epochs=120, **few),
        }
