"""Figures as files, and the panels that they draw."""

import matplotlib
import numpy as np
import pytest

from benchmark.reporting.figures import save_figures
from benchmark.reporting.figures.comparison import comparison_figure
from benchmark.reporting.figures.curves import curves_figure, curves_of
from benchmark.reporting.grouping import task_blocks
from benchmark.reporting.panels import task_panels
from benchmark.reporting.results import Results
from benchmark.reporting.style import Look
from tests.reporting.fake_records import all_records, few_records, make_record, write_run

PNG, PDF = b"\x89PNG", b"%PDF"


def written(folder, records):
    for record in records:
        write_run(folder, record)
    return [path for saved in save_figures(Results.read(folder), folder / "figures") for path in saved.paths]


def test_figures_are_written_as_png_and_pdf_with_something_in_them(tmp_path):
    paths = written(tmp_path, few_records())
    names = {
        f"{task}_{kind}"
        for task in ("compression", "cross_modal")
        for kind in ("comparison", "learning_curves")
    }
    assert {path.stem for path in paths} >= names
    for path in paths:
        assert path.read_bytes().startswith(PNG if path.suffix == ".png" else PDF)
        if path.suffix == ".png":
            pixels = matplotlib.image.imread(path)
            assert min(pixels.shape[:2]) >= 200
            assert (pixels[..., :3].min(axis=-1) < 0.9).mean() > 0.01


def test_the_same_records_give_the_same_bytes(tmp_path):
    records = [make_record(baseline, 0) for baseline in ("scratch", "kd")]
    first = [path.read_bytes() for path in written(tmp_path / "a", records)]
    assert first == [path.read_bytes() for path in written(tmp_path / "b", records)]


def test_a_panel_marks_synthetic_data_and_names_its_condition():
    panels = task_panels(task_blocks(all_records())["cross_modal"])
    assert len(panels) == 1
    assert "(synthetic)" in panels[0].title
    assert "label fraction 0.1" in panels[0].title


def test_a_fully_labelled_companion_stands_in_the_few_label_panel_under_its_own_name():
    (panel,) = task_panels(task_blocks(all_records())["cross_modal"])
    labels = [panel.label(row) for row in panel.rows]
    assert labels[0] == "Scratch"
    assert labels[-1] == "Scratch (label fraction 1)"


def test_every_row_of_the_table_is_in_exactly_one_panel():
    for blocks in task_blocks(all_records()).values():
        rows = [row.id for block in blocks for row in block.rows if row.is_student]
        drawn = [row.id for panel in task_panels(blocks) for row in panel.rows]
        assert sorted(drawn) == sorted(rows)


def test_the_comparison_shows_each_seed_the_teacher_and_n():
    records = [make_record(baseline, seed) for baseline in ("scratch", "kd") for seed in range(4)]
    figure = comparison_figure(results := Results.of(records), results.panels["compression"])
    axes = figure.axes[0]
    drawn = [np.asarray(points.get_offsets())[:, 0] for points in axes.collections]
    for baseline, values in zip(("scratch", "kd"), drawn, strict=True):
        raw = [100 * r.results.scores["test@last"]["top1"] for r in records if r.run.baseline == baseline]
        assert sorted(values) == pytest.approx(sorted(raw))
    vertical = [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1]
    assert any(value == pytest.approx(70.5) for value in vertical)
    assert [text.get_text() for text in axes.texts] == ["n = 4", "n = 4"]


def test_every_seed_of_the_comparison_lies_within_its_axes():
    records = [make_record(baseline, seed) for baseline in ("scratch", "kd") for seed in range(2)]
    for record, score in zip(records, (0.1, 0.5, 0.6, 0.9), strict=True):
        record.results.scores["test@last"]["top1"] = score
    axes = comparison_figure(results := Results.of(records), results.panels["compression"]).axes[0]
    low, high = axes.get_xlim()
    assert low < 10 < 90 < high


def test_not_applicable_rows_keep_the_teacher_line_and_their_name():
    records = [make_record("kd", 0), make_record("fsp", 0, "not_applicable", reason="no")]
    results = Results.of(records)
    (panel,) = results.panels["compression"]
    assert panel.teachers() == pytest.approx([70.5])
    assert "not applicable" in [text.get_text() for text in comparison_figure(results, [panel]).axes[0].texts]


def test_many_panels_go_to_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark.reporting.figures.drawing.PANELS_PER_FILE", 1)
    paths = written(tmp_path, [make_record("kd", 0, epochs=epochs) for epochs in (1, 2)])
    names = {path.name for path in paths if path.suffix == ".png"}
    assert {"compression_comparison.png", "compression_comparison_2.png"} <= names


def test_a_curve_that_ends_in_infinity_is_drawn_up_to_there(tmp_path):
    record = make_record("kd", 0, "diverged", reason="inf", validation=0.0)
    path = write_run(tmp_path, record)
    with (path / "history.jsonl").open("a") as file:
        file.write('{"epoch": 4, "train": {"loss": Infinity}}\n{"epoch": 5, "train": {"loss": NaN}}\n')
    results = Results.read(tmp_path)
    found = [curves_of(results, panel) for panel in results.panels["compression"]]
    axes = curves_figure(found, {"KD": Look(1, 0)}).axes[0]
    assert list(axes.lines[0].get_xdata()) == [1, 2, 3, 4]
