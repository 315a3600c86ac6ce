"""Two records that differ in one thing: where it decides numbers, nothing averages or subtracts across it.

The test walks every field that a record has; a new one fails it until it is said here what it does.
"""

import dataclasses
import itertools
import json
import math
import statistics

import pandas as pd
import pytest

from benchmark.errors import UserError
from benchmark.records import About, Condition, Metric, Provenance, Record, Run, Teacher
from benchmark.reporting import compare, tidy_frame, wide_frame
from benchmark.reporting.identity import identity, stable_id
from benchmark.reporting.results import Results
from benchmark.reporting.summary import summaries
from benchmark.reporting.tables.corruption_tables import corruption_tables
from benchmark.reporting.tables.probe_tables import probe_tables
from benchmark.reporting.tables.task_tables import task_tables
from tests.reporting.fake_records import altered, make_record, write_run

APART, ROW, TOGETHER = "neither averaged nor subtracted", "not averaged", "averaged"
SPREAD = "averaged as clusters, not subtracted across"

# Field -> (another value than `make_record` gives, what records may do that differ in it alone).
FIELDS = {
    "run.task": ("privileged", APART),
    "run.dataset": ("scenes", APART),
    "run.pair": ("resnet56-resnet8", APART),
    "run.baseline": ("crd", ROW),
    "run.seed": (1, TOGETHER),
    "condition.fold": ("subject_2", APART),
    "condition.split_seed": (7, SPREAD),
    "condition.validation": (0.2, APART),
    "condition.label_fraction": (0.5, APART),
    "condition.train_samples": (500, APART),
    "condition.teacher_data": ("disjoint", APART),
    "condition.teacher_samples": (300, APART),
    "condition.teacher_seed": (3, SPREAD),
    "condition.epochs": (99, APART),
    "condition.updates": (999, APART),
    "condition.tuning": ("tuned", APART),
    "condition.batch_size": (32, APART),
    "condition.teacher_epochs": (9, APART),
    "condition.teacher_checkpoint": ("teacher.pt", APART),
    "condition.precision": ("bf16", APART),
    "condition.batch_parts": (2, APART),
    "condition.overrides": ({"weight": 0.3}, ROW),
    "about.task_title": ("Another title", TOGETHER),
    "about.dataset_title": ("Another title", TOGETHER),
    "about.baseline_title": ("Another title", TOGETHER),
    "about.role": ("control", ROW),
    "about.paper": ("Another et al.", TOGETHER),
    "about.arxiv": ("1234.56789", TOGETHER),
    "about.anchor": (True, ROW),
    "about.companion": ("few_labels", ROW),
    "about.order": (9, TOGETHER),
    "about.synthetic": (False, APART),
    "about.num_classes": (11, APART),
    "about.num_train": (901, APART),
    "about.num_labelled": (899, APART),
    "about.num_validation": (99, APART),
    "about.num_test": (999, APART),
    "about.num_teacher": (901, APART),
    "about.student": ("resnet14", APART),
    "about.student_modalities": (("depth",), APART),
    "metrics": ({"top1": Metric("Top-1 accuracy", "top-1", "max", "", 1, primary=True)}, APART),
    "teacher.id": ("another", APART),
    "teacher.checksum": ("ff", APART),
    "teacher.architecture": ("resnet56", APART),
    "teacher.modalities": (("depth",), APART),
    "teacher.test": ({"top1": 0.1, "top5": 0.2}, TOGETHER),
    "teacher.parameters": (1, TOGETHER),
    "teacher.macs": (1, TOGETHER),
    "teacher.train": ({"top1": 0.99}, TOGETHER),
    "teacher.probes": ({"own": {"linear": 0.1}}, TOGETHER),
    "teacher.corrupted": ({"contrast/1": {"top1": 0.1}}, TOGETHER),
    "hyperparameters": ({"weight": 0.4}, ROW),
    "recipe": ({"learning_rate": 0.2}, APART),
    "provenance.data_fingerprint": ("another", APART),
    "provenance.code_checksum": ("another", ROW),
    "provenance.commit": ("fedcba9876543210", TOGETHER),
    "provenance.clean": (False, TOGETHER),
    "provenance.versions": ({"torch": "2.14.1"}, TOGETHER),
    "provenance.device": ("cuda", TOGETHER),
    "provenance.device_name": ("another", TOGETHER),
    "provenance.threads": (2, TOGETHER),
    "provenance.ranks": (2, TOGETHER),
    "provenance.command": ("another", TOGETHER),
    "provenance.finished": ("2027-01-01T00:00:00", TOGETHER),
}
# How a run went, in numbers, words and files: what is averaged, not what decides whether it may be.
OUTCOMES = ("id", "status", "reason", "folder", "results", "measurements", "trial", "selection", "files")
# Mixed, these are said in every caption.
WARNED = {
    "provenance.commit": "mix 2 commits",
    "provenance.clean": "uncommitted changes",
    "provenance.device": "mix devices: cpu, cuda",
    "provenance.threads": "mix numbers of threads: 1, 2",
}
PARTS = {"run": Run, "condition": Condition, "about": About, "teacher": Teacher, "provenance": Provenance}


def changed(record: Record, field: str) -> Record:
    """The record with another value of one field, and an id of its own."""
    part, _, name = field.partition(".")
    value = FIELDS[field][0]
    record = altered(record, **{part: {name: value} if name else value})
    return dataclasses.replace(record, id=stable_id((record.id, field)))


def test_every_field_of_a_record_is_classified():
    named = {field.partition(".")[0] for field in FIELDS} | set(OUTCOMES)
    assert named == {each.name for each in dataclasses.fields(Record)}
    for part, kind in PARTS.items():
        known = {f"{part}.{each.name}" for each in dataclasses.fields(kind)}
        assert known == {field for field in FIELDS if field.startswith(f"{part}.")}
    for field, (value, _) in FIELDS.items():
        part, _, name = field.partition(".")
        own = getattr(make_record(), part)
        assert (getattr(own, name) if name else own) != value, field


def runs(baseline: str, field: str | None, seeds=(0, 2, 4), **parts) -> list[Record]:
    """A baseline over seeds, in the plain form or with the one field changed; scores tell the forms apart."""
    records = []
    for seed in seeds:
        record = altered(make_record(baseline, seed), **parts)
        record = record if field is None else changed(record, field)
        score = (0.9 if field else 0.5) + 0.001 * seed + (0.01 if record.run.baseline != "scratch" else 0)
        scores = {"test@last": {"top1": score}, "test@best_validation": {"top1": score}}
        probes = {"own": {"linear": score}}
        corrupted = {"contrast/1": {"top1": score}}
        results = {"scores": scores, "probes": probes, "untrained_probes": probes, "corrupted": corrupted}
        records.append(altered(record, results=results))
    return records


def forms(records: list[Record]) -> set[bool]:
    """Whether plain and changed runs are among them."""
    return {record.results.scores["test@last"]["top1"] > 0.8 for record in records}


@pytest.mark.parametrize("field", [name for name, (_, effect) in FIELDS.items() if effect in (APART, ROW)])
def test_nothing_averages_over_what_decides_numbers(field):
    plain = [make_record("kd", 0), make_record("kd", 1)]
    assert identity(plain[0]).row == identity(plain[1]).row
    records = runs("scratch", None) + runs("kd", None) + runs("kd", field)
    if not field.startswith(("run.baseline", "condition.overrides", "hyperparameters", "about.")):
        records += runs("scratch", field)
    results = Results.of(records)
    # Rows, the numbers of every table, and the tidy frame's own groups.
    rows = [row for blocks in results.blocks.values() for block in blocks for row in block.rows]
    for row in rows:
        if row.kind != "teacher":
            assert len(forms(list(row.records))) == 1
            assert len({(record.run.seed, record.run.baseline) for record in row.records}) == len(row.records)
            assert row.values["test@last/top1"].n == len(row.records)
    means = {100 * statistics.mean(0.5 + 0.001 * s + gain for s in (0, 2, 4)) for gain in (0, 0.01)}
    means |= {mean + 40 for mean in means} | {(mean + 40) / 100 for mean in means}
    shown = [
        *(table.frame["test@last/top1/mean"] for table in task_tables(results)),
        wide_frame(records).filter(regex="^[^/]*/mean$").stack(),
    ]
    for column in shown:
        for value in column.dropna():
            assert any(math.isclose(value, mean) for mean in (*means, 70.5, 0.705)), value
    for table in probe_tables(results):
        for value in table.frame["probes/own/linear/mean"].dropna():
            assert any(math.isclose(value, mean) for mean in (*means, *(100 * mean for mean in means))), value
    for table in corruption_tables(results):
        shown = table.frame.filter(regex="^corrupted/(contrast/1|contrast|mean)/top1/mean$")
        for value in shown.stack().dropna():
            assert any(math.isclose(value, mean) for mean in means), value
    for _, own in tidy_frame(records).groupby("row"):
        assert own["test@last/top1"].max() - own["test@last/top1"].min() < 0.1


@pytest.mark.parametrize("field", [name for name, (_, effect) in FIELDS.items() if effect == APART])
def test_nothing_subtracts_across_what_decides_numbers(field):
    # The only anchor is one of the other form: there is nothing to be compared with.
    records = runs("kd", None) + runs("crd", None) + runs("scratch", field)
    results = Results.of(records)
    assert len(compare(records)) == 0
    for against in ("scratch", "each"):
        frame = compare(records, against=against)
        assert all(abs(each) < 5 for each in frame.get("difference", ()))
        assert "scratch" not in {*frame.get("baseline", ()), *frame.get("against", ())}
    for row in (row for blocks in results.blocks.values() for block in blocks for row in block.rows):
        assert not any(each.n for each in row.differences.values())
    for panel in (panel for panels in results.panels.values() for panel in panels):
        companions = [row for row in panel.rows if row.is_anchor]
        assert not companions or len({row.comparison for row in panel.rows}) == 1 or field in COMPANIONS
    text = " ".join(sentence for each in every_summary(results) for sentence in each.sentences)
    assert "against Scratch" not in text
    # With both anchors each row meets its own.
    both = compare(records + runs("scratch", None))
    assert len(both) == 2
    assert all(abs(each - 1.0) < 1e-9 or abs(each - 0.01) < 1e-9 for each in both["difference"])


@pytest.mark.parametrize("field", [name for name, (_, effect) in FIELDS.items() if effect == SPREAD])
def test_what_is_spread_over_is_averaged_and_never_subtracted_across(field):
    both = runs("kd", None) + runs("kd", field)
    (row,) = [row for block in Results.of(both).blocks["compression"] for row in block.students]
    assert len(row.records) == 6
    assert len(set(row.clusters.values())) == 2
    assert len(compare(runs("kd", None) + runs("crd", None) + runs("scratch", field))) == 0


COMPANIONS = ("condition.label_fraction", "about.num_labelled", "about.num_validation")
"""A fully labelled companion stands beside few labels: a row of its own, subtracted from nothing."""


def every_summary(results: Results):
    return [each for panels in results.panels.values() for each in summaries(panels)]


@pytest.mark.parametrize("field", [name for name, (_, effect) in FIELDS.items() if effect == TOGETHER])
def test_what_decides_no_number_keeps_nothing_apart(field):
    if field == "run.seed":
        return
    first, second = make_record("kd", 0), changed(make_record("kd", 1), field)
    (table,) = task_tables(Results.of([first, second]))
    (row,) = [row for block in table.blocks for row in block.students]
    assert len(row.records) == 2
    if field in WARNED:
        assert WARNED[field] in " ".join(table.caption)


def test_rows_are_told_apart_by_what_differs():
    for field, (_, effect) in FIELDS.items():
        if effect in (TOGETHER, SPREAD) or field.startswith(("run.", "condition.", "metrics")):
            continue
        rows = [
            row
            for block in Results.of(runs("kd", None) + runs("kd", field)).blocks["compression"]
            for row in block.students
        ]
        told = {row.differs_in for row in rows}
        assert len(told) == len(rows) == 2, (field, told)
        assert all(told), (field, told)


@pytest.mark.parametrize("field", ["teacher.checksum", "teacher.test", "provenance.data_fingerprint"])
def test_teachers_of_one_seed_are_never_averaged(field):
    """Records that are older than checksums know a teacher by its scores."""
    records = [make_record("kd", 0), make_record("kd", 1)]
    records += [changed(make_record("kd", 0), field) for _ in range(2)]
    if field == "teacher.test":
        records = [altered(record, teacher={"checksum": ""}) for record in records]
    records[2].teacher.test.update(top1=0.2)
    records[3].teacher.test.update(top1=0.2)
    (table,) = task_tables(Results.of(records))
    frame = table.frame[table.frame.row == "teacher"]
    assert sorted(frame["test@last/top1/mean"]) == pytest.approx([20.0, 70.5])
    assert set(frame["test@last/top1/n"]) == {1}
    assert frame["differs_in"].nunique() == 2


def test_other_code_is_told_of_rows_that_differ_in_hyper_parameters_too():
    records = [make_record("kd", seed, overrides={"weight": w}) for seed in (0, 1) for w in (1.0, 2.0)]
    records = [
        altered(each, provenance={"code_checksum": "new"})
        if each.condition.overrides["weight"] == 2
        else each
        for each in records
    ]
    (block,) = Results.of([*records, *(make_record("scratch", seed) for seed in (0, 1))]).blocks[
        "compression"
    ]
    assert [row.variant for row in block.students] == ["", "code ff", "code new"]


def test_one_teacher_that_was_tested_on_two_machines_is_one():
    """Its scores may end in other digits: other processors round otherwise."""
    records = [make_record("kd", seed) for seed in range(4)]
    records += [make_record("scratch", seed) for seed in range(4)]
    score = records[0].teacher.test["top1"]
    for record in records[::2]:
        record.teacher.test["top1"] = score + 1e-9
    results = Results.of(records)
    (block,) = results.blocks["compression"]
    assert [row.kind for row in block.rows if not row.is_student] == ["teacher"]
    (line,) = compare(results).to_dict("records")
    assert line["normalised"] > 0


def test_teachers_that_differ_in_their_seed_are_one_row():
    records = [make_record("kd", 0, teacher_seed=seed) for seed in (0, 1, 2)]
    for record in records:
        record.teacher.test.update(top1=0.5 + 0.1 * record.condition.teacher_seed)
    (table,) = task_tables(Results.of(records))
    (teacher,) = table.frame[table.frame.row == "teacher"].to_dict("records")
    assert (teacher["test@last/top1/mean"], teacher["test@last/top1/n"]) == (pytest.approx(60), 3)


def test_a_row_over_several_teachers_is_not_named_after_one_of_them():
    records = [
        altered(
            make_record(name, seed, teacher_seed=teacher),
            teacher={"id": f"t{teacher}", "checksum": f"c{teacher}"},
        )
        for name in ("scratch", "kd")
        for teacher in (0, 1, 2)
        for seed in (0, 1)
    ]
    results = Results.of(records)
    assert {row.differs_in for block in results.blocks["compression"] for row in block.rows} == {""}
    (panel,) = results.panels["compression"]
    assert panel.heading == "Shapes (synthetic), resnet20-resnet8; teacher seed 0, 1, 2"


def test_a_student_of_the_same_floor_is_never_averaged_over_folds():
    records = [r for fold in ("one", "two") for r in runs("kd", None, condition={"fold": fold})]
    for record in records:
        floor = {"own": {"linear": 0.2 if record.condition.fold == "one" else 0.6}}
        record.results.untrained_probes.clear()
        record.results.untrained_probes.update(floor)
    records = [dataclasses.replace(r, id=f"{r.id}{r.condition.fold}") for r in records]
    (table,) = probe_tables(Results.of(records))
    floors = table.frame[table.frame.row == "untrained"]
    assert sorted(floors["probes/own/linear/mean"]) == pytest.approx([20, 60])
    assert sorted(floors["fold"]) == ["one", "two"]


def test_ids_depend_on_the_values_alone():
    assert stable_id({"a": 1, "b": [1, 2.5]}) == stable_id({"b": (1.0, 2.5), "a": 1})
    assert stable_id(True) != stable_id("True")
    assert stable_id(0.5) != stable_id("0.5")
    assert identity(make_record()) == identity(make_record())
    # As they were when this was written: another process, another machine.
    assert stable_id({"a": 1, "b": [1, 2.5]}) == "a4c1db1bb1b0"


def test_every_two_forms_of_a_run_have_rows_of_their_own():
    fields = [name for name, (_, effect) in FIELDS.items() if effect != TOGETHER]
    rows = {name: identity(changed(make_record("kd"), name)).row for name in fields}
    for one, other in itertools.combinations(rows, 2):
        assert rows[one] != rows[other], (one, other)


# --- records read twice ---


def test_overlapping_records_are_taken_once(tmp_path):
    records = [make_record(name, seed) for name in ("scratch", "kd") for seed in range(3)]
    alone = compare(records)
    pairs = (compare(records + records), compare(records[:4] + records[2:]))
    for frame in pairs:
        assert frame.to_csv() == alone.to_csv()
    assert len(tidy_frame(records + records)) == len(records)
    assert wide_frame(records + records).to_csv() == wide_frame(records).to_csv()
    for record in records:
        write_run(tmp_path / "one", record)
        write_run(tmp_path / "two", record)
    both = [r for name in ("one", "two") for r in Results.read(tmp_path / name).records]
    assert compare(both).to_csv() == alone.to_csv()


def test_records_of_one_run_that_contradict_each_other_raise():
    record = make_record("kd", 0)
    other = altered(record, results={"scores": {"test@last": {"top1": 0.1}}})
    for function in (compare, tidy_frame, wide_frame):
        with pytest.raises(UserError, match=f"two records of run {record.id} differ in their results"):
            function([record, other])


def test_a_record_without_probes_contradicts_none_with_them_and_the_fuller_one_counts():
    record = make_record("kd", 0)
    probes = {"own": {"linear": 0.5}}
    probed = altered(record, results={"probes": probes}, teacher={"probes": probes})
    for records in ([record, probed], [probed, record]):
        (line,) = tidy_frame(records).to_dict("records")
        assert line["probes/own/linear"] == 0.5
    other = altered(probed, results={"probes": {"own": {"linear": 0.6}}})
    with pytest.raises(UserError, match="differ in their results"):
        tidy_frame([probed, other])


def test_a_failed_method_stands_in_every_frame():
    records = runs("scratch", None) + [
        make_record("kd", seed, "failed", reason="KeyError") for seed in (0, 2, 4)
    ]
    (line,) = compare(records).to_dict("records")
    assert (line["baseline"], line["n"]) == ("kd", 0)
    assert pd.isna(line["difference"])
    assert "kd" in set(wide_frame(records)["baseline"])
    assert json.loads(tidy_frame(records).iloc[0]["hyperparameters"])
