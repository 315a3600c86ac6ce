"""AT, NST, FT, AB and FSP in loops."""

import numpy as np

from tests.baselines.references.registry import Case, reference


@reference("at")
def at(case: Case) -> dict[str, float]:
    total = 0.0
    for student, teacher in zip(case.student.maps[1:], case.teacher.maps[1:], strict=True):
        batch, _, height, width = student.shape
        for b in range(batch):
            attentions = []
            for feature in (student, teacher):
                places = [
                    np.mean([feature[b, c, i, j] ** 2 for c in range(feature.shape[1])])
                    for i in range(height)
                    for j in range(width)
                ]
                attentions.append(np.array(places) / np.sqrt(sum(p**2 for p in places)))
            total += sum((attentions[0] - attentions[1]) ** 2) / (batch * height * width)
    return {"at": case.distiller.weight * total}
