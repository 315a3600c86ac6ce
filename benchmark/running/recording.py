"""The record of a run that has ended: everything that tables and figures may ever ask of it."""

from __future__ import annotations

from dataclasses import asdict, replace

from benchmark import records
from benchmark.evaluation.accuracy import information
from benchmark.evaluation.calibration import CALIBRATION
from benchmark.evaluation.fidelity import FIDELITY
from benchmark.models import module_of
from benchmark.planning.hyperparameters import order_of
from benchmark.planning.specs import RunSpec
from benchmark.plugins import Registry
from benchmark.ranks import Fabric
from benchmark.running.ledger import code_checksum
from benchmark.running.provenance import provenance
from benchmark.training.materials import Materials
from benchmark.training.outcomes import Outcome
from benchmark.training.teacher import Teacher


def make_record(
    materials: Materials, outcome: Outcome, teacher: Teacher, registry: Registry, fabric: Fabric
) -> records.Record:
    """The record of an outcome: everything that tables and figures may ever ask of it."""
    run = outcome.run
    return records.Record(
        id=run.id,
        run=run.key,
        condition=run.condition,
        status=outcome.status,
        reason=outcome.reason,
        about=_about(materials, run, registry),
        metrics=information(
            materials.metrics,
            (*(CALIBRATION if len(materials.metrics) else ()), *FIDELITY),
            len(materials.data.classes),
        ),
        results=outcome.results,
        teacher=records.Teacher(
            id=teacher.spec.id,
            checksum=teacher.checksum,
            architecture=teacher.spec.architecture,
            modalities=teacher.spec.modalities,
            test={**teacher.test},
            **asdict(teacher.cost),
            probes=outcome.teacher_probes,
            train={**teacher.train},
            corrupted=outcome.teacher_corrupted,
        ),
        hyperparameters=run.hyperparameters,
        recipe=asdict(run.recipe),
        measurements=replace(outcome.measurements, teacher_s=teacher.seconds),
        provenance=provenance(
            fabric,
            data_fingerprint=materials.data.fingerprint,
            code_checksum=code_checksum(run, registry),
            modules=_modules(materials, outcome, teacher, registry),
        ),
        trial=outcome.trial,
        selection=run.selection,
    )


def _modules(materials: Materials, outcome: Outcome, teacher: Teacher, registry: Registry) -> list[str]:
    """The modules of what a run is made of: its task, its baseline's parts, its networks."""
    baselines = [part.distiller.__module__ for part in registry.parts(outcome.run.baseline)]
    networks = [teacher.spec.architecture, outcome.run.student.architecture]
    return [type(materials.task).__module__, *baselines, *map(module_of, networks)]


def _about(materials: Materials, run: RunSpec, registry: Registry) -> records.About:
    parts = registry.parts(run.baseline)
    alone = parts[0] if len(parts) == 1 else None
    sizes = run.data.splits.sizes
    return records.About(
        task_title=materials.task.title,
        dataset_title=materials.card.title,
        baseline_title=" + ".join(part.title for part in parts),
        role=alone.role if alone else "method",
        paper="; ".join(part.paper for part in parts if part.paper),
        arxiv="; ".join(part.arxiv for part in parts if part.arxiv),
        anchor=alone.anchor if alone else False,
        companion=alone.companion if alone else "",
        order=order_of(run.baseline, registry),
        synthetic=materials.data.synthetic,
        num_classes=len(materials.data.classes),
        num_train=sizes["train"],
        num_labelled=run.data.splits.labelled,
        num_validation=sizes["validation"],
        num_test=sizes["test"],
        num_teacher=sizes["teacher"],
        student=run.student.architecture,
        student_modalities=run.student.modalities,
    )
