"""The tables of corrupted test samples."""

import dataclasses
import statistics

import pytest

from benchmark.records import Record
from benchmark.reporting import tidy_frame
from benchmark.reporting.page import write_page
from benchmark.reporting.papers import Item, Paper, save_papers
from benchmark.reporting.results import Results
from benchmark.reporting.tables.corruption_tables import corruption_tables
from benchmark.reporting.tables.latex import to_latex
from benchmark.reporting.tables.probe_tables import probe_tables
from benchmark.reporting.tables.render import to_markdown, to_text
from benchmark.reporting.tables.task_tables import task_tables
from tests.reporting.fake_records import altered, make_record, write_run

KINDS = ("gaussian_noise", "low_resolution")
CLEAN = {"kd": 0.6, "scratch": 0.5}


def scores(clean: float, kinds: tuple[str, ...] = KINDS) -> dict[str, dict[str, float | None]]:
    """The k-th kind takes k tenths of the clean score for each strength."""
    return {
        f"{kind}/{strength}": {"top1": clean * (1 - 0.1 * k * strength)}
        for k, kind in enumerate(kinds, start=1)
        for strength in (1, 2, 3)
    }


def corrupted(baseline: str, seed: int, kinds: tuple[str, ...] = KINDS, **changes) -> Record:
    clean = CLEAN[baseline] + 0.01 * seed
    return altered(
        make_record(baseline, seed, **changes),
        results={"scores": {"test@last": {"top1": clean}}, "corrupted": scores(clean, kinds)},
        teacher={"test": {"top1": 0.8}, "corrupted": scores(0.8, kinds)},
    )


RECORDS = [corrupted(name, seed) for name in ("scratch", "kd") for seed in range(3)]


def row(frame, **wanted):
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1, frame
    return frame.iloc[0]


def test_kinds_are_means_over_strengths_and_rows_means_over_seeds() -> None:
    (table,) = corruption_tables(Results.of(RECORDS))
    assert (table.stem, table.kind) == ("compression_corruptions", "corruptions")
    ours = row(table.frame, baseline="kd")
    assert ours["test@last/top1/mean"] == pytest.approx(61.0)
    assert ours["corrupted/gaussian_noise/top1/mean"] == pytest.approx(0.8 * 61.0)
    assert ours["corrupted/low_resolution/top1/mean"] == pytest.approx(0.6 * 61.0)
    assert ours["corrupted/low_resolution/3/top1/mean"] == pytest.approx(0.4 * 61.0)
    assert ours["corrupted/mean/top1/mean"] == pytest.approx(0.7 * 61.0)
    assert ours["corrupted/mean/top1/sd"] == pytest.approx(70 * statistics.stdev([0.60, 0.61, 0.62]))
    assert ours["corrupted/retained/top1/mean"] == pytest.approx(70.0)
    assert ours["corrupted/retained/top1/sd"] == pytest.approx(0.0, abs=1e-9)
    assert ours["corrupted/mean/top1/n"] == 3
    assert not [name for name in table.frame if name.startswith(("difference/", "probes/", "test@best"))]


def test_over_teachers_every_column_is_of_the_same_runs_and_teachers() -> None:
    records = []
    for teacher, seeds in ((0, 5), (1, 1), (2, 1)):  # the clean score differs from teacher to teacher alone
        for seed in range(seeds):
            record = make_record("kd", seed, teacher_seed=teacher)
            clean = 0.5 + 0.1 * teacher
            scored = {"scores": {"test@last": {"top1": clean}}, "corrupted": scores(clean)}
            records.append(altered(record, results=scored, teacher={"id": f"t{teacher}"}))
    (table,) = corruption_tables(Results.of(records))
    ours = row(table.frame, baseline="kd")
    assert ours["test@last/top1/mean"] == pytest.approx(60.0)
    for name, share in (("mean", 0.7), ("gaussian_noise", 0.8), ("gaussian_noise/1", 0.9)):
        for part in ("mean", "low", "high"):
            expected = share * ours[f"test@last/top1/{part}"]
            assert ours[f"corrupted/{name}/top1/{part}"] == pytest.approx(expected), (name, part)


def test_of_an_error_nothing_is_retained() -> None:
    error = {"top1": altered(make_record().metrics["top1"], direction="min")}
    (table,) = corruption_tables(Results.of(altered(record, metrics=error) for record in RECORDS))
    assert not [name for name in table.frame if "retained" in name]
    assert not [column.title for column in table.columns if "retained" in column.title]
    assert row(table.frame, baseline="kd")["corrupted/mean/top1/mean"] == pytest.approx(0.7 * 61.0)


def test_the_teacher_stands_above_and_counts_once() -> None:
    (table,) = corruption_tables(Results.of(RECORDS))
    assert [each.title for each in table.blocks[0].rows] == ["teacher (resnet20)", "Scratch", "KD"]
    teacher = row(table.frame, row="teacher")
    assert (teacher["corrupted/mean/top1/mean"], teacher["corrupted/mean/top1/n"]) == (pytest.approx(56.0), 1)


def test_a_teacher_has_them_from_whichever_of_its_runs_does() -> None:
    plain = altered(make_record("fitnet", 0), teacher={"test": {"top1": 0.8}})
    (table,) = corruption_tables(Results.of([plain, *RECORDS]))
    assert row(table.frame, row="teacher")["corrupted/mean/top1/mean"] == pytest.approx(56.0)


def test_every_form_of_the_table_has_its_columns_and_numbers() -> None:
    (table,) = corruption_tables(Results.of(RECORDS))
    titles = [column.title for column in table.columns]
    shown = ["clean", "corrupted, mean", "retained (%)", "gaussian noise", "low resolution"]
    assert titles == ["method", "n", f"top-1 (%) ↑ {shown[0]}", *shown[1:]]
    for form in (to_text, to_markdown, to_latex):
        text = form(table)
        assert all(number in text for number in ("61.0", "42.7", "70.0", "48.8", "36.6")), text
        assert "low" in text


def test_a_run_with_a_hole_in_its_numbers_has_no_mean_of_them() -> None:
    lost = corrupted("kd", 3)
    lost.results.corrupted["low_resolution/2"]["top1"] = None
    (table,) = corruption_tables(Results.of([*RECORDS, lost]))
    ours = row(table.frame, baseline="kd")
    names = ("gaussian_noise", "low_resolution", "mean", "retained")
    counts = [ours[f"corrupted/{name}/top1/n"] for name in names]
    assert counts == [4, 3, 3, 3]


def test_a_clean_score_of_zero_retains_nothing_that_could_be_said() -> None:
    record = altered(corrupted("kd", 0), results={"scores": {"test@last": {"top1": 0.0}}})
    (table,) = corruption_tables(Results.of([record]))
    ours = row(table.frame, baseline="kd")
    assert ours["corrupted/retained/top1/n"] == 0
    assert "inf" not in to_text(table)


def test_pairs_whose_student_sees_no_image_are_named_and_others_are_not() -> None:
    blind = [
        dataclasses.replace(record, id=f"{record.id}x")
        for record in (corrupted("kd", seed, KINDS[:1], pair="resnet56-resnet8") for seed in range(3))
    ]
    (table,) = corruption_tables(Results.of(RECORDS + blind))
    (sentence,) = (each for each in table.caption if "sees no image" in each)
    assert "gaussian noise alone: shapes, resnet56-resnet8." in sentence
    frame = table.frame[(table.frame.pair == "resnet56-resnet8") & (table.frame.baseline == "kd")]
    assert frame["corrupted/mean/top1/mean"].tolist() == pytest.approx([0.8 * 61.0])
    (whole,) = corruption_tables(Results.of(RECORDS))
    assert not [each for each in whole.caption if "sees no image" in each]


def test_records_without_them_have_no_such_table_and_no_other_table_changes() -> None:
    plain = [altered(record, results={"corrupted": {}}, teacher={"corrupted": {}}) for record in RECORDS]
    assert corruption_tables(Results.of(plain)) == []
    assert not [name for name in tidy_frame(plain) if "corrupted" in name]
    for tables in (task_tables, probe_tables):
        with_them, without = ([to_text(each) for each in tables(Results.of(r))] for r in (RECORDS, plain))
        assert with_them == without
    mixed = corruption_tables(Results.of(RECORDS[:3] + plain[3:]))
    assert [each.title for each in mixed[0].blocks[0].rows] == ["teacher (resnet20)", "Scratch"]


def test_the_frame_has_a_column_for_each_kind_and_strength() -> None:
    frame = tidy_frame(RECORDS)
    assert frame["corrupted/low_resolution/2/top1"].tolist()[:1] == [pytest.approx(0.6 * 0.6)]
    assert set(frame["teacher/corrupted/gaussian_noise/1/top1"]) == {0.8 * 0.9}


def test_a_score_of_an_unknown_metric_ends_no_report() -> None:
    strange = altered(corrupted("kd", 0), results={"corrupted": {"contrast/1": {"another": 0.5}, "odd": {}}})
    assert len(corruption_tables(Results.of([strange, *RECORDS[:3]]))) == 1


def test_the_page_and_the_lists_of_papers_show_the_table(tmp_path) -> None:
    for record in RECORDS:
        write_run(tmp_path / "results", record)
    results = Results.read(tmp_path / "results")
    page = write_page(results, corruption_tables(results), [], tmp_path / "report.html").read_text()
    assert "corrupted test samples" in page
    assert "42.7" in page
    run = RECORDS[0].run
    item = Item(
        "Table 7", "corrupted", "corruptions", run.task, run.dataset, (run.pair,), ("kd",), "", (0, 1, 2)
    )
    lines = save_papers(results, [Paper("p", "P", "", (item,))], tmp_path / "papers")
    assert any("complete" in line for line in lines)
    assert "42.7" in (tmp_path / "papers" / "p" / "table_7.md").read_text()
