"""Privileged information: the teacher sees modalities that the student will not have when it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from benchmark import Data, DatasetCard, Pair, Preset, Request, Target, Task, task
from tasks.privileged import cards, pairs


@task("privileged", title="Privileged information")
class Privileged(Task):
    """Action recognition; the teacher sees privileged and regular modalities, the student regular ones."""

    def datasets(self) -> dict[str, DatasetCard]:
        return cards.cards()

    def pairs(self, dataset: str) -> dict[str, Pair]:
        return pairs.pairs(dataset)

    def custom_pair(self, dataset: str, name: str) -> Pair | None:
        """PAIR:TEACHER-STUDENT, one of the dataset's pairs with any two other architectures."""
        from benchmark.models import teacher_and_student

        pair, _, networks = name.partition(":")
        known, found = self.pairs(dataset).get(pair), teacher_and_student(networks)
        return None if known is None or found is None else replace(known, teacher=found[0], student=found[1])

    def transfer(self, data: Data, request: Request) -> dict[str, Callable[[], Target]]:
        from tasks.privileged import transfer

        return transfer.targets(data)

    def presets(self) -> dict[str, Preset]:
        worn = ("skeleton+inertial-inertial", "skeleton+inertial-accelerometer")
        return {
            "quick": Preset(
                ("motions",), ("skeleton+video-video",), epochs=12, teacher_epochs=14, label_fraction=0.25
            ),
            "standard": Preset(("utd_mhad",), worn),
            "paper": Preset(("utd_mhad",), (*worn, "skeleton+depth-depth"), validation=0.0),
        }
