"""The page on analysing results, and what it promises of `Results`."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmark.errors import UserError
from benchmark.reporting import Results, compare, draw, figures
from tests.reporting.fake_records import altered, arrays_of, make_record, write_run

PAGE = Path(__file__).parents[2] / "docs" / "analysing_results.md"


def test_the_notebook_on_results_runs_cell_after_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, seeds in (("quick", range(3)), ("more_seeds", range(2, 5))):
        for name in ("scratch", "kd", "crd"):
            for seed in seeds:
                write_run(tmp_path / "results" / folder, make_record(name, seed))
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    for cell in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(cell, scope)
    printed = capsys.readouterr().out
    assert "9 runs; all of them can be read" in printed
    assert "15 runs" in printed
    assert (tmp_path / "compression_comparison.png").exists()


def test_the_page_names_every_kind_of_figure() -> None:
    listed = PAGE.read_text().partition("The kinds: ")[2].partition(". ")[0]
    assert tuple(re.findall(r"`(\w+)`", listed)) == figures.KINDS


def test_a_filter_takes_any_column_and_keeps_history_and_arrays(tmp_path: Path) -> None:
    for name in ("scratch", "kd"):
        for seed in range(2):
            record = make_record(name, seed)
            np.savez(write_run(tmp_path, record) / "arrays.npz", **arrays_of(record))
    results = Results.read(tmp_path).where(baseline="kd", seed=(1, 7))
    (record,) = results.records
    assert (record.run.baseline, record.run.seed) == ("kd", 1)
    assert set(results.history["id"]) == {record.id}
    assert len(results.arrays(record)) == 6
    with pytest.raises(UserError, match="unknown column 'baselin': did you mean baseline"):
        results.where(baselin="kd")


def test_a_filter_names_a_value_that_no_record_has() -> None:
    results = Results.of([make_record(name, seed) for name in ("scratch", "kd") for seed in range(2)])
    with pytest.raises(UserError, match=r"^unknown baseline 'kdd': did you mean kd\?"):
        results.where(baseline="kdd")
    with pytest.raises(UserError, match=r"^unknown seed '0': did you mean 0\?$"):
        results.where(seed="0")
    with pytest.raises(UserError, match=r"^unknown seed '7': known: 0, 1$"):
        results.where(seed=[7, 8])
    assert len(results.where(seed=1.0, baseline=["kd", "crd"]).records) == 1
    assert results.where(seed=[]).records == []


def test_two_folders_add_up_with_their_arrays_and_contradictions_raise(tmp_path: Path) -> None:
    for folder, seeds in (("one", (0, 1)), ("two", (1, 2))):
        for seed in seeds:
            record = make_record("kd", seed)
            np.savez(write_run(tmp_path / folder, record) / "arrays.npz", **arrays_of(record))
    one, two = (Results.read(tmp_path / name) for name in ("one", "two"))
    both = one + two
    assert sorted(record.run.seed for record in both.records) == [0, 1, 2]
    assert all(len(both.arrays(record)) == 6 for record in both.records)
    assert len(both.history) == both.history.drop_duplicates(["id", "epoch"]).shape[0] == 36
    other = altered(make_record("kd", 1), results={"scores": {"test@last": {"top1": 0.1}}})
    write_run(tmp_path / "three", other)
    with pytest.raises(UserError, match=r"two records of run \w+ differ in their results"):
        both + Results.read(tmp_path / "three")


def test_an_unknown_kind_of_figure_is_told_with_the_known_ones() -> None:
    results = Results.of([make_record("kd", 0)])
    with pytest.raises(UserError, match="unknown kind of figure 'comparisons': did you mean comparison"):
        draw(results, "comparisons")
    assert compare(results, against="kd").empty
