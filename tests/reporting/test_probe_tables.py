"""The tables of frozen features."""

import statistics

import pytest

from benchmark.records import Record
from benchmark.reporting.results import Results
from benchmark.reporting.tables.latex import to_latex
from benchmark.reporting.tables.probe_tables import probe_tables
from benchmark.reporting.tables.render import to_markdown, to_text
from benchmark.reporting.tables.task_tables import task_tables
from tests.reporting.fake_records import altered, make_record


def probed(baseline: str, seed: int, **changes) -> Record:
    score = {"kd": 0.6, "scratch": 0.5}[baseline] + 0.01 * seed
    probes = {"own": {"linear": score, "knn": score - 0.1}, "digits": {"few_shot_5": score / 2}}
    floor = {"own": {"linear": 0.2 + 0.02 * seed, "knn": 0.15}}
    return altered(
        make_record(baseline, seed, **changes),
        results={"probes": probes, "untrained_probes": floor},
        teacher={"probes": {"own": {"linear": 0.8, "knn": 0.75}}},
    )


RECORDS = [probed(name, seed) for name in ("scratch", "kd") for seed in range(3)]


def row(frame, **wanted):
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1, frame
    return frame.iloc[0]


def test_a_row_is_the_mean_over_seeds_in_percent() -> None:
    (table,) = probe_tables(Results.of(RECORDS))
    assert table.stem == "compression_probes"
    ours = row(table.frame, baseline="kd")
    assert ours["probes/own/linear/mean"] == pytest.approx(61.0)
    assert ours["probes/own/linear/sd"] == pytest.approx(100 * statistics.stdev([0.60, 0.61, 0.62]))
    assert ours["probes/digits/few_shot_5/n"] == 3
    assert not [name for name in table.frame if name.startswith(("test@", "difference/"))]


def test_the_teacher_and_the_untrained_student_stand_above_the_students() -> None:
    (table,) = probe_tables(Results.of(RECORDS))
    titles = [each.title for each in table.blocks[0].rows]
    assert titles == ["teacher (resnet20)", "untrained (resnet8)", "Scratch", "KD"]
    floor, ceiling = (row(table.frame, row=end) for end in ("untrained", "teacher"))
    assert (floor["probes/own/linear/mean"], floor["probes/own/linear/n"]) == (pytest.approx(22.0), 3)
    assert (ceiling["probes/own/linear/mean"], ceiling["probes/own/linear/n"]) == (pytest.approx(80.0), 1)


def test_an_untrained_student_counts_once_per_seed_whatever_the_label_fraction() -> None:
    records = [*RECORDS, *(probed("kd", seed, label_fraction=0.1) for seed in range(3))]
    (table,) = probe_tables(Results.of(records))
    assert row(table.frame, row="untrained")["runs"] == 3
    assert sorted(table.frame[table.frame.baseline == "kd"].label_fraction) == [0.1, 1.0]


def test_every_form_of_the_table_has_its_numbers() -> None:
    (table,) = probe_tables(Results.of(RECORDS))
    for form in (to_text, to_markdown, to_latex):
        text = form(table)
        assert "61.0" in text
        assert "5 per class" in text
        assert "k-NN" in text


def test_records_without_probes_have_no_such_table_and_the_main_table_does_not_change() -> None:
    plain = [make_record(name, seed) for name in ("scratch", "kd") for seed in range(3)]
    assert probe_tables(Results.of(plain)) == []
    with_probes, without = (to_text(task_tables(Results.of(records))[0]) for records in (RECORDS, plain))
    assert with_probes == without
