"""A student with its distiller as one module."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from benchmark.contracts import Activations, Batch, Distiller, Progress, Stage
from benchmark.contracts.distiller import SecondView
from benchmark.models import Network
from benchmark.training.composition import named_terms, predicting_buffers, predicts_with_network


class Learner(nn.Module):
    """Student + distiller: what the student shows of a batch, and the loss terms of that."""

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

    def shown(self, batch: Batch, second: Batch | None = None) -> Activations:
        """What its student shows of a batch, and of its second view."""
        student = self.network(batch)
        return student if second is None else replace(student, second=self.network(second))

    def terms(
        self, teacher: Activations | None, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """The weighted loss terms of what networks show of a batch, each a scalar; without a teacher (it is
        one in training) the supervised term alone."""
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
