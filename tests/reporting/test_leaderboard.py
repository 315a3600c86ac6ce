"""The leaderboard as a frame and a page: what is ranked, what is kept apart, and where it all comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmark.errors import UserError
from benchmark.records import Record
from benchmark.reporting import archive
from benchmark.reporting.comparisons import compare
from benchmark.reporting.leaderboard.checks import Known, complaints
from benchmark.reporting.leaderboard.frame import FILE, leaderboard_frame
from benchmark.reporting.leaderboard.page import Leaderboard, read_leaderboard
from benchmark.reporting.leaderboard.sources import SUBMISSIONS, Maker, Source, sources
from benchmark.reporting.results import Results
from tests.reporting.fake_records import altered, make_record

Archived = Callable[[str, Path], Results]
VERSION = {"wcord-bench": "0.1.0", "torch": "2.11.0"}


def some(*names: str, seeds: Iterable[int] = range(3), **changes: Any) -> list[Record]:
    """Runs of baselines, a record for each seed, of a version of the suite."""
    provenance = {"versions": VERSION, **changes.pop("provenance", {})}
    return [make_record(name, seed, provenance=provenance, **changes) for name in names for seed in seeds]


def board(*records: Record, name: str = "ours", maker: Maker | None = None) -> pd.DataFrame:
    return leaderboard_frame([Source(name, Results.of(records), maker or Maker())])


def ranks(frame: pd.DataFrame) -> dict[str, int | str]:
    """Label -> rank, or why there is none."""
    students = frame[frame["kind"] != "teacher"]
    return {
        label: reason or int(rank)
        for label, rank, reason in zip(students["label"], students["rank"], students["unranked"], strict=True)
    }


# --- of the committed archives ---


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("archives")
def test_the_committed_leaderboard_is_what_the_committed_archives_give(archived: Archived) -> None:
    found = leaderboard_frame(sources(archived, archive.FOLDER, SUBMISSIONS))
    committed = pd.read_parquet(FILE)
    remedy = "run: python -m benchmark.leaderboard build"
    assert list(committed.columns) == list(found.columns), remedy
    pd.testing.assert_frame_equal(committed, found, check_dtype=False, obj=remedy)


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("archives")
def test_whatever_is_on_it_would_be_admitted(archived: Archived) -> None:
    found = sources(archived, archive.FOLDER, SUBMISSIONS)
    known = Known(found)
    for source in found:
        lines = complaints(source.results, known)
        assert [line for line in lines if "is in" not in line or "already" not in line] == []
        assert len(lines) == len(source.results.records)


# --- what is ranked ---


def test_two_seeds_have_no_interval_of_their_mean() -> None:
    found = {count: board(*some("scratch", "kd", seeds=range(count))).set_index("label") for count in (2, 3)}
    assert pd.isna(found[2].loc["KD", ["low", "high"]]).all()
    assert pd.notna(found[3].loc["KD", ["low", "high"]]).all()


def test_rows_are_ranked_by_their_means_and_differences_are_those_of_the_report() -> None:
    records = some("scratch", "kd", "crd", "crd+kd")
    frame = board(*records).set_index("baseline")
    students = frame[frame["kind"] == "student"]
    assert students["mean"].is_monotonic_decreasing
    assert list(students["rank"]) == [1, 2, 3, 4]
    told = compare(Results.of(records), bootstrap=False).set_index("baseline")
    for baseline in ("kd", "crd", "crd+kd"):
        for column in ("difference", "verdict", "low", "high", "p_adjusted", "smallest_visible"):
            ours = students.loc[baseline, f"to_anchor/{'mean' if column == 'difference' else column}"]
            assert ours == pytest.approx(told.loc[baseline, column]), (baseline, column)
    best = students.index[0]
    assert pd.isna(students.loc[best, "to_best/mean"])
    for baseline in students.index[1:]:
        assert students.loc[baseline, "to_best/mean"] == pytest.approx(
            students.loc[baseline, "mean"] - students.loc[best, "mean"]
        )


def test_what_may_not_compete_has_no_rank_and_a_reason() -> None:
    records = [
        *some("scratch", "kd", "crd", "label_smoothing"),
        *some("crd+kd", seeds=range(2)),
        *some("fitnet", seeds=range(3)),
        *some("fsp", status="not_applicable", reason="channels"),
        *some("kd", overrides={"weight": 9.0}, hyperparameters={"weight": 9.0}),
        *some("fitnet", seeds=[3], status="diverged", reason="nan"),
    ]
    found = ranks(board(*records))
    assert {found.pop(name) for name in ("Scratch", "KD", "CRD")} == {1, 2, 3}
    assert found == {
        "Label smoothing": "control",
        "CRD + KD": "fewer than 3 runs",
        "FitNet": "diverged or failed",
        "FSP": "not applicable",
        "KD (weight=9.0)": "own settings",
    }


def test_a_single_row_has_no_rank_and_few_runs_have_no_marks() -> None:
    assert ranks(board(*some("kd"))) == {"KD": "alone"}
    frame = board(*some("scratch", "kd", seeds=range(2)))
    assert set(ranks(frame).values()) == {"fewer than 3 runs"}
    assert set(frame["standing"].dropna()) == {""}


def test_an_ablation_changes_nothing_of_what_is_said_of_others() -> None:
    records = some("scratch", "kd", "crd")
    variants = [
        record
        for weight in (1.0, 2.0, 3.0, 4.0)
        for record in some("kd", overrides={"weight": weight}, hyperparameters={"weight": weight})
    ]
    alone, beside = board(*records), board(*records, *variants)
    plain = beside[beside["unranked"] != "own settings"].reset_index(drop=True)
    assert len(beside) == len(alone) + 4
    pd.testing.assert_frame_equal(
        alone.drop(columns="overrides"), plain.drop(columns="overrides"), check_dtype=False
    )


# --- what is kept apart ---

OTHERS = {
    "version": {"provenance": {"versions": {**VERSION, "wcord-bench": "0.2.0"}}},
    "data": {"provenance": {"data_fingerprint": "another"}},
    "teacher": {"teacher": {"checksum": "11"}},
    "label fraction": {"condition": {"label_fraction": 0.5}},
    "tuned": {"condition": {"tuning": "tuned"}},
    "work": {"condition": {"updates": 99}},
    "precision": {"condition": {"precision": "bf16"}},
    "teacher's seed": {"condition": {"teacher_seed": 1}, "teacher": {"id": "other", "checksum": "22"}},
}


@pytest.mark.parametrize("what", OTHERS)
def test_no_other_rows_are_ranked_together(what: str) -> None:
    records = some("scratch", "kd")
    strangers = [
        dataclasses.replace(altered(record, **OTHERS[what]), id=f"{record.id}x")
        for record in some("crd", "crd+kd")
    ]
    alone, beside = board(*records), board(*records, *strangers)
    assert beside["group"].nunique() == 2
    (group,) = alone["group"].unique()
    same = beside[beside["group"] == group].dropna(subset=["rank"])
    assert dict(zip(same["baseline"], same["rank"], strict=True)) == dict(
        zip(*(alone.dropna(subset=["rank"])[name] for name in ("baseline", "rank")), strict=True)
    )
    others = beside[beside["group"] != group].dropna(subset=["rank"])
    assert sorted(others["baseline"]) == ["crd", "crd+kd"]


def test_one_teacher_more_leaves_a_group_as_it_is() -> None:
    records = some("scratch", "kd", "crd")
    more = [
        altered(record, teacher={"id": "other", "checksum": "22"})
        for record in some("scratch", "kd", "crd", teacher_seed=1)
    ]
    alone, beside = board(*records), board(*records, *more)
    same = beside[beside["group"] == alone["group"].iloc[0]].reset_index(drop=True)
    names = [name for name in alone if name != "label"]
    pd.testing.assert_frame_equal(alone[names], same[names], check_dtype=False)


def test_full_labels_stand_beside_few_without_a_rank() -> None:
    few = some("scratch", "kd", "crd", label_fraction=0.1)
    frame = board(*few, *some("scratch"))
    assert frame["group"].nunique() == 1
    (companion,) = frame[frame["kind"] == "companion"].to_dict("records")
    assert (companion["label_fraction"], companion["unranked"]) == (1.0, "other labels")
    assert pd.isna(companion["to_anchor/mean"])


# --- where it comes from ---


def test_it_is_the_same_in_any_order_and_to_the_byte() -> None:
    first = Source("first", Results.of(some("scratch", "kd")))
    second = Source("second", Results.of(some("crd")), Maker("Somebody", "https://example.org"))
    content = leaderboard_frame([first, second]).to_parquet(index=False)
    assert leaderboard_frame([second, first]).to_parquet(index=False) == content


def test_a_row_names_its_archives_their_makers_and_its_origin() -> None:
    both = some("kd")
    first = Source("first", Results.of([*some("scratch"), *both]))
    second = Source("second", Results.of([*both, *some("crd")]), Maker("Somebody", "https://example.org"))
    frame = leaderboard_frame([first, second]).set_index("baseline")
    assert frame.loc["kd", "archives"] == "first, second"
    assert frame.loc["kd", "submitted_by"] == "Somebody; WCoRD-Bench"
    assert frame.loc["crd", "code"] == "https://example.org"
    assert frame.loc["kd", "n"] == 3
    for name, value in {
        "suite_version": "0.1.0",
        "data_fingerprint": "fingerprint-shapes",
        "teacher_checksum": "00",
        "commit": "0123456789abcdef",
        "device": "cpu",
        "threads": "1",
        "commands": "python run_all.py",
        "last_finished": "2026-01-03T00:00:00",
    }.items():
        assert frame.loc["kd", name] == value


def test_two_results_of_one_run_are_refused() -> None:
    record = make_record("kd", 0)
    other = altered(record, results={"probes": {"own": {"linear": 0.6}}})
    probed = altered(record, results={"probes": {"own": {"linear": 0.5}}})
    with pytest.raises(UserError, match="differ in their results"):
        leaderboard_frame([Source(n, Results.of([r])) for n, r in (("a", other), ("b", probed))])


# --- the page ---


def test_groups_of_a_page_show_real_data_first_and_mark_synthetic_data() -> None:
    found = Leaderboard(board(*some("scratch", "kd"), *some("scratch", "kd", dataset="cifar100"))).groups
    assert [group.question for group in found] == [
        "CIFAR-100, resnet20-resnet8",
        "Shapes (synthetic), resnet20-resnet8",
    ]


def test_a_page_leaves_out_groups_in_which_nobody_has_a_rank() -> None:
    shown = Leaderboard(
        board(*some("scratch", "kd"), *some("scratch", "kd", seeds=(0, 1), dataset="cifar100"))
    )
    assert len(shown.groups) == 2
    assert [group.question for group in shown.ranked] == ["Shapes (synthetic), resnet20-resnet8"]
    assert list(shown.questions) == ["Shapes (synthetic), resnet20-resnet8"]


def test_a_table_says_what_the_report_says() -> None:
    frame = board(*some("scratch", "kd", "crd"))
    (group,) = Leaderboard(frame).groups
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in group.table.splitlines()]
    header, rows = lines[0], {line[1]: line for line in lines[2:]}
    kd = frame[frame["baseline"] == "kd"].iloc[0]
    assert rows["KD"][header.index("rank")] == str(kd["rank"])
    assert rows["KD"][header.index("top-1 (%) ↑")] == f"{kd['mean']:.1f} ± {kd['sd']:.1f}"
    shown = rows["KD"][header.index("difference to Scratch")]
    assert shown == (
        f"{kd['to_anchor/mean']:+.1f} [{kd['to_anchor/simultaneous_low']:+.1f}, "
        f"{kd['to_anchor/simultaneous_high']:+.1f}]"
    )
    assert "teacher (resnet20)" in rows
    assert (
        "Suite 0.1.0; data `fingerpr`; 900 training samples; 900 labelled; 1,000 test samples" in group.facts
    )


def test_groups_under_one_condition_are_told_apart() -> None:
    others = [
        dataclasses.replace(altered(record, **OTHERS["version"]), id=f"{record.id}x")
        for record in some("scratch", "kd")
    ]
    found = Leaderboard(board(*some("scratch", "kd"), *others)).groups
    assert [group.condition for group in found] == [
        f"label fraction 1, suite version {version}" for version in ("0.1.0", "0.2.0")
    ]


def test_text_of_strangers_is_no_markup() -> None:
    maker = Maker("A | B\n<script>alert(1)</script>")
    title = {"baseline_title": "K|D <b>"}
    records = [altered(record, about=title) for record in some("kd")]
    mine = Source("theirs", Results.of(records), maker)
    ours = Source("ours", Results.of(some("scratch", "crd")))
    (group,) = Leaderboard(leaderboard_frame([ours, mine])).groups
    for text in (group.table, group.facts):
        assert "<script" not in text
        assert "<b>" not in text
    widths = {line.replace("\\|", "").count("|") for line in group.table.splitlines()}
    assert len(widths) == 1


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"benchmark\.leaderboard build writes it anew"):
        read_leaderboard(tmp_path / "none.parquet")
