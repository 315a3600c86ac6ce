"""Runs that an error in a baseline's code ended: shown with their reasons, averaged and marked nowhere."""

import json
import math
import statistics

import pytest

from benchmark.records import Record
from benchmark.reporting import compare, load_records, tidy_frame
from benchmark.reporting.comparisons import BEST_MARK, standings
from benchmark.reporting.figures import comparison, curves, drawings_of
from benchmark.reporting.grouping import task_blocks
from benchmark.reporting.page import write_page
from benchmark.reporting.panels import task_panels
from benchmark.reporting.results import Results
from benchmark.reporting.summary import summary
from benchmark.reporting.tables.corruption_tables import corruption_tables
from benchmark.reporting.tables.latex import to_latex
from benchmark.reporting.tables.pair_tables import pair_tables
from benchmark.reporting.tables.probe_tables import probe_tables
from benchmark.reporting.tables.render import to_markdown, to_text
from benchmark.reporting.tables.task_tables import TaskTable, task_tables
from tests.reporting.fake_records import altered, make_record, write_run

REASON = "KeyError: 'bank' (crd.py, line 61)"
SEEDS = range(4)


def records_of(crd: tuple[str, ...]) -> list[Record]:
    """Scratch and KD finished; CRD, far above both, with these statuses seed by seed."""
    records = [make_record(name, seed) for name in ("scratch", "kd") for seed in SEEDS]
    for record in records:
        level = 0.7 if record.run.baseline == "kd" else 0.6
        record.results.scores["test@last"]["top1"] = level + (record.run.seed * 7 % 5) / 1000
    for seed, status in zip(SEEDS, crd, strict=True):
        record = make_record("crd", seed, status, reason="" if status == "finished" else REASON)
        if status == "finished":
            record.results.scores["test@last"]["top1"] = 0.9 + seed / 1000
        records.append(record)
    return records


FAILED_ONCE = ("finished", "failed", "finished", "finished")
FAILED_ALWAYS = ("failed",) * 4


def line_of(table: TaskTable, baseline: str) -> dict:
    (line,) = table.frame[table.frame.baseline == baseline].to_dict("records")
    return line


@pytest.mark.parametrize("tables_of", [task_tables, pair_tables])
@pytest.mark.parametrize("render", [to_text, to_markdown, to_latex])
def test_a_failed_run_stands_in_every_table_with_its_note(tables_of, render) -> None:
    (table,) = tables_of(Results.of(records_of(FAILED_ONCE)))
    text = render(table).replace("\\", "").replace("{", "").replace("}", "")
    assert "failed (1 of 4) [1]" in text
    assert table.notes == [REASON]
    (table,) = tables_of(Results.of(records_of(FAILED_ALWAYS)))
    text = render(table).replace("\\", "").replace("{", "").replace("}", "")
    assert "failed (4 of 4) [1]" in text


def test_a_failed_run_is_counted_and_never_averaged() -> None:
    (table,) = task_tables(Results.of(records_of(FAILED_ONCE)))
    line = line_of(table, "crd")
    assert (line["runs"], line["finished"], line["failed"], line["diverged"]) == (4, 3, 1, 0)
    assert line["test@last/top1/mean"] == pytest.approx(statistics.mean((90.0, 90.2, 90.3)))
    assert line["step_ms/n"] == line["parameters/n"] == 3
    assert line["reasons"] == REASON
    assert any("Means leave out runs that failed; the status column" in each for each in table.caption)
    frame = compare(records_of(FAILED_ONCE)).set_index("baseline")
    assert (frame.loc["crd"].n, frame.loc["kd"].n) == (3, 4)


def test_a_row_whose_runs_all_failed_still_stands_there() -> None:
    (table,) = task_tables(Results.of(records_of(FAILED_ALWAYS)))
    line = line_of(table, "crd")
    assert (line["runs"], line["finished"], line["failed"], line["test@last/top1/n"]) == (4, 0, 4, 0)


def measured(record: Record) -> Record:
    """The record with probes and corrupted tests, where it finished."""
    score = record.results.score("test@last", "top1")
    if score is None:
        return record
    corrupted = {f"contrast/{strength}": {"top1": score / 2} for strength in (1, 2, 3)}
    return altered(record, results={"probes": {"own": {"linear": score}}, "corrupted": corrupted})


@pytest.mark.parametrize("tables_of", [probe_tables, corruption_tables])
@pytest.mark.parametrize("statuses", [FAILED_ONCE, FAILED_ALWAYS])
def test_what_was_measured_of_survivors_says_so(tables_of, statuses) -> None:
    records = list(map(measured, records_of(statuses)))
    other = [make_record("crd", 0, "failed", reason="of another task", task="privileged")]
    (table,) = tables_of(Results.of([*records, *other]))
    count = statuses.count("failed")
    line = line_of(table, "crd")
    assert (line["runs"], line["failed"]) == (4, count)
    text = to_text(table)
    assert f"failed ({count} of 4) [1]" in text
    assert table.notes == [REASON]
    assert any("Means leave out runs that failed" in sentence for sentence in table.caption)
    (whole,) = tables_of(Results.of(map(measured, records_of(("finished",) * 4))))
    assert not [column for column in whole.columns if column.header == "status"]


@pytest.mark.parametrize("score", [None, math.nan])
def test_a_finished_run_without_a_score_is_as_lost_as_one_that_failed(score) -> None:
    records = records_of(("finished",) * 4)
    for record in records:
        if (record.run.baseline, record.run.seed) == ("crd", 1):
            record.results.scores["test@last"]["top1"] = score
    (table,) = task_tables(Results.of(records))
    assert "no score (1 of 4) [1]" in to_text(table)
    assert table.notes == ["finished, and has no finite score"]
    assert any("Means leave out runs that have no score" in sentence for sentence in table.caption)
    (block,) = task_blocks(records)["compression"]
    crd = next(row for row in block.students if row.baseline == "crd")
    assert (crd.lost, standings(block, "top1").get(crd.id)) == (1, None)
    winners, text = said(records)
    assert winners == ("KD",)
    assert "Runs of CRD diverged, failed or have no score: their means" in text


def test_a_row_without_any_score_has_lost_none() -> None:
    """A test split without labels, say: nothing was to be had."""
    records = records_of(("finished",) * 4)
    for record in records:
        record.results.scores["test@last"]["top1"] = None
    (block,) = task_blocks(records)["compression"]
    assert [row.lost for row in block.students] == [0, 0, 0]


def test_the_map_of_probes_and_the_summary_name_means_of_survivors() -> None:
    results = Results.of(map(measured, records_of(FAILED_ONCE)))
    sentence = "Runs of CRD diverged or failed: their means are those of the others."
    (drawing,) = drawings_of(results, "probe_map")
    assert sentence in drawing.caption
    assert sentence in said(results.records)[1]
    lost = Results.of(map(measured, records_of(FAILED_ALWAYS)))
    assert sentence not in said(lost.records)[1]


def test_a_column_for_failures_stands_only_where_there_are_some() -> None:
    (table,) = task_tables(Results.of(records_of(("finished",) * 4)))
    assert "failed" not in table.frame
    assert "diverged" in table.frame


@pytest.mark.parametrize("status", ["failed", "diverged"])
def test_a_row_with_a_lost_run_is_never_marked_best(status) -> None:
    def marks(records: list[Record]) -> dict[str | None, str]:
        (block,) = task_blocks(records)["compression"]
        found = standings(block, "top1")
        return {row.baseline: found.get(row.id, "") for row in block.rows}

    assert marks(records_of(("finished",) * 4))["crd"] == BEST_MARK
    lost = marks(records_of(("finished", status, "finished", "finished")))
    assert lost["crd"] == ""
    assert lost["kd"]


def said(records: list[Record]) -> tuple[tuple[str, ...], str]:
    (panel,) = task_panels(task_blocks(records)["compression"])
    found = summary(panel, "top1")
    return found.winners, " ".join(found.sentences)


def test_the_summary_names_no_winner_with_a_lost_run() -> None:
    assert said(records_of(("finished",) * 4))[0] == ("CRD",)
    winners, text = said(records_of(FAILED_ONCE))
    assert winners == ("KD",)
    assert "CRD (+30.0) has a better mean, but only over the runs that neither diverged nor failed." in text
    alone = [record for record in records_of(FAILED_ONCE) if record.run.baseline != "kd"]
    winners, text = said(alone)
    assert winners == ()
    assert "No winner marked: of all that gain, runs diverged or failed. The best mean is CRD's" in text
    assert "; 1 of its 4 runs failed." in text
    assert "Without a finished run: CRD." in said(records_of(FAILED_ALWAYS))[1]


def test_the_page_names_the_run_its_reason_and_its_seed(tmp_path) -> None:
    for record in records_of(FAILED_ONCE):
        write_run(tmp_path, record)
    results = Results.read(tmp_path)
    assert not results.problems
    page = write_page(results, task_tables(results), [], tmp_path / "report.html").read_text()
    shown = REASON.replace("'", "&#39;")
    assert f'<td>failed</td><td>1</td><td class="reason">{shown}</td>' in page
    assert "11 finished, 1 failed" in page
    assert "n = 3 of 4" in page


def test_the_frame_holds_the_status_and_the_reason(tmp_path) -> None:
    for record in records_of(FAILED_ONCE):
        write_run(tmp_path, record)
    frame = tidy_frame(load_records(tmp_path).records)
    (line,) = frame[frame.status == "failed"].to_dict("records")
    assert (line["baseline"], line["reason"], line["seed"]) == ("crd", REASON, 1)
    assert json.loads(line["hyperparameters"]) == {"weight": 0.8}


def test_figures_show_how_many_finished_and_mark_the_end_of_a_failed_curve(tmp_path) -> None:
    for record in records_of(FAILED_ONCE):
        write_run(tmp_path, record)
    results = Results.read(tmp_path)
    (drawing,) = comparison.drawings(results)
    assert "n = 3 of 4" in [text.get_text() for text in drawing.draw().axes[0].texts]
    (drawing,) = curves.drawings(results)
    figure = drawing.draw()
    assert [line.get_marker() for line in figure.axes[0].lines].count("x") == 1
    assert "failed" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_lost_run_is_also_counted_at_chance() -> None:
    records = [
        altered(r, metrics={**r.metrics, "top1": altered(r.metrics["top1"], chance=0.1)})
        for r in records_of(FAILED_ONCE)
    ]
    (table,) = task_tables(Results.of(records))
    # Three runs at 90.0, 90.2 and 90.3, and one at 10.
    assert "failed (1 of 4) [1]; 70.1 with chance for it" in to_text(table)
    assert "with chance" not in to_text(task_tables(Results.of(records_of(FAILED_ONCE)))[0])


def test_a_lost_run_counts_as_guessing_on_its_own_data_and_never_beside_a_teacher() -> None:
    records = []
    for dataset, chance in (("shapes", 0.5), ("zones", 0.1)):
        for record in records_of(FAILED_ONCE):
            metric = altered(record.metrics["top1"], chance=chance)
            record = altered(record, run={"dataset": dataset}, id=f"{dataset}-{record.id}")
            records.append(altered(record, metrics={**record.metrics, "top1": metric}))
    (table,) = task_tables(Results.of(records))
    (status,) = (column for column in table.columns if column.title == "status")
    rows = [(block.dataset, row) for block in table.blocks for row in block.rows]
    told = {(dataset, row.title): status.cell(row) for dataset, row in rows if status.cell(row)}
    # Three runs at 90.0, 90.2 and 90.3, and one at 50 or at 10.
    assert told == {
        ("shapes", "CRD"): "failed (1 of 4) [1]; 80.1 with chance for it",
        ("zones", "CRD"): "failed (1 of 4) [1]; 70.1 with chance for it",
    }


def test_a_teacher_all_of_whose_students_are_lost_is_not() -> None:
    records = [
        altered(r, metrics={**r.metrics, "top1": altered(r.metrics["top1"], chance=0.1)})
        for r in records_of(FAILED_ALWAYS)
        if r.run.baseline == "crd"
    ]
    text = to_text(task_tables(Results.of(records))[0])
    assert text.count("with chance") == 1
