"""The student without a teacher: the row that every difference is taken to."""

from benchmark import Distiller, baseline


@baseline("scratch", title="Scratch", role="reference", anchor=True, companion="all_labels")
class Scratch(Distiller):
    """loss = task_weight * cross-entropy; no distillation term."""

    needs = frozenset({"labels"})
