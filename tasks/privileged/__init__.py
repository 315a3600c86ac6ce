"""Privileged information: the teacher sees modalities that the student will not have when it is used."""

from __future__ import annotations

from collections.abc import Callable

from benchmark import Data, DatasetCard, Pair, Preset, Request, Target, Task, task
from tasks.privileged import motions, ntu, transfer, utd_mhad, video_folder

SOURCES = (motions, utd_mhad, ntu, video_folder)


@task("privileged", title="Privileged information")
class Privileged(Task):
    """Action recognition; the teacher sees privileged and regular modalities, the student regular ones."""

    def datasets(self) -> dict[str, DatasetCard]:
        return {name: card for source in SOURCES for name, card in source.cards().items()}

    def pairs(self, dataset: str) -> dict[str, Pair]:
        return next(source.pairs() for source in SOURCES if dataset in source.cards())

    def transfer(self, data: Data, request: Request) -> dict[str, Callable[[], Target]]:
        return transfer.targets(data)

    def presets(self) -> dict[str, Preset]:
        worn = ("skeleton+inertial-inertial", "skeleton+inertial-accelerometer")
        return {
            "quick": Preset(("motions",), ("skeleton+video-video",), epochs=14, teacher_epochs=14),
            "standard": Preset(("utd_mhad",), worn),
            "paper": Preset(("utd_mhad",), (*worn, "skeleton+depth-depth"), (0, 1, 2, 3, 4), validation=0.0),
        }
