"""Teacher assistants: a network of a size in between learns first, then teaches (Mirzadeh et al., 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor

from baselines.kd import KD
from benchmark import (
    Activations,
    Batch,
    Choice,
    Context,
    NotApplicable,
    Progress,
    Range,
    Stage,
    baseline,
)
from benchmark.contracts import supervised_cross_entropy


@baseline("takd", title="TAKD", paper="Mirzadeh et al., AAAI 2020", arxiv="1902.03393")
class TAKD(KD):
    """A first stage of KD from the teacher to an assistant; then KD from the assistant, which is fixed.

    The assistant is an `assistant` architecture that sees what the student sees, named by the pair (one whose
    size is between) or by the user; where there is none, there is no chain. It trains as long as the student
    and by its recipe. Both steps: 0.1 * cross-entropy + 0.9 * kd_loss at T = 4, KD's of the CRD benchmark. In
    a composition the assistant learns in the same way, and the student by 0.9 * kd_loss beside what the
    composition adds. One assistant here; the paper also tries chains of several.
    """

    in_composition = {}

    def __init__(
        self,
        context: Context,
        *,
        assistant: Annotated[str, Choice((), source="named by the pair: a size between the two")] = "",
        share: Annotated[float, Range(0.1, 1, source="paper: trained as the student is")] = 1.0,
        **options: Any,
    ):
        super().__init__(context, **options)
        if not assistant:
            raise NotApplicable(
                "the pair names no network between the two: name an assistant "
                "(--set takd.assistant=ARCHITECTURE); in your own loop, train one by kd and give it to kd "
                "as the teacher"
            )
        self.share = share
        self.assistant = context.network(assistant)

    @classmethod
    def stage_shares(cls, hyperparameters: Mapping[str, Any]) -> tuple[float, ...]:
        return (hyperparameters["share"],)

    def first_stages(self) -> tuple[Stage, ...]:
        parameters = tuple(self.assistant.parameters())
        return (Stage("assistant", self.share, self._teach, parameters, by_recipe=True),)

    def _teach(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        shown = self.assistant.train()(batch)
        task = supervised_cross_entropy(shown.logits, batch["label"], batch["labelled"])
        return {"task": self.task_weight * task, **super().forward(teacher, shown, batch, progress)}

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        with torch.no_grad():
            shown = self.assistant.eval()(batch)
        return super().forward(shown, student, batch, progress)
