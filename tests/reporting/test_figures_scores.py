"""Figures of scores, costs, fidelity and conditions: drawn is what the raw records hold."""

import statistics

import numpy as np
import pytest

from benchmark.reporting.figures import (
    comparison,
    costs,
    fidelity,
    gains,
    hyperparameters,
    label_fractions,
    probe_map,
)
from benchmark.reporting.figures.drawing import Point, draw_points, points_of, scatter_axes
from benchmark.reporting.grouping import task_blocks
from benchmark.reporting.page import charts
from benchmark.reporting.panels import task_panels
from benchmark.reporting.results import Results
from benchmark.reporting.style import MARKS, baseline_looks, looks
from tests.reporting.fake_records import altered, make_record, write_run

NAMES = ("scratch", "kd", "crd", "label_smoothing")


def results_of(folder, records):
    for record in records:
        write_run(folder, record)
    return Results.read(folder)


def drawn(kind, folder, records):
    return list(kind.drawings(results_of(folder, records)))


def plain(seeds=3, **changes):
    return [make_record(name, seed, **changes) for name in NAMES for seed in range(seeds)]


def mean(records, name, get=lambda r: 100 * r.results.scores["test@last"]["top1"], **condition):
    own = [
        r
        for r in records
        if r.run.baseline == name and all(getattr(r.condition, k) == v for k, v in condition.items())
    ]
    return statistics.mean(map(get, own))


# --- gains ---


def test_bars_are_the_mean_paired_gains_in_order(tmp_path):
    records = plain()
    (drawing,) = drawn(gains, tmp_path, records)
    axes = drawing.draw().axes[0]
    slow = {name: mean(records, name) - mean(records, "scratch") for name in NAMES[1:]}
    bars = [bar.get_width() for bar in axes.patches]
    assert bars == pytest.approx(sorted(slow.values()))
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == {"crd": "CRD", "kd": "KD"}[
        max(slow, key=slow.get)
    ]
    lead = [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1]
    assert any(value == pytest.approx(70.5 - mean(records, "scratch")) for value in lead)


def test_several_panels_are_points_of_gain_against_gap(tmp_path):
    records = plain(epochs=10) + plain(epochs=20)
    (drawing,) = drawn(gains, tmp_path, records)
    points = {
        (round(line.get_xdata()[0], 6), round(line.get_ydata()[0], 6))
        for line in drawing.draw().axes[0].lines
        if len(line.get_xdata()) == 1
    }
    slow = set()
    for epochs in (10, 20):
        scratch = mean(records, "scratch", epochs=epochs)
        for name in NAMES[1:]:
            slow.add((round(70.5 - scratch, 6), round(mean(records, name, epochs=epochs) - scratch, 6)))
    assert points == slow


def test_without_an_anchor_there_is_no_gain(tmp_path):
    assert drawn(gains, tmp_path, [make_record("kd", seed) for seed in range(3)]) == []


def test_gains_that_have_no_place_are_listed_with_the_reason(tmp_path):
    error = {"top1": altered(make_record().metrics["top1"], direction="min")}
    (drawing,) = drawn(gains, tmp_path / "error", [altered(r, metrics=error) for r in plain()])
    assert (drawing.draw, drawing.reason) == (None, "not drawn: lower values are the better ones")
    several = [altered(r, teacher={"id": f"t{t}"}) for t in range(3) for r in plain(teacher_seed=t)]
    (drawing,) = drawn(gains, tmp_path / "several", several)
    assert drawing.reason == "not drawn: there are several teachers, and so no one lead"
    untested = [altered(r, teacher={"test": {}}) for r in plain()]
    (drawing,) = drawn(gains, tmp_path / "untested", untested)
    assert drawing.reason == "not drawn: no teacher was tested"


# --- costs ---


def with_latency(record, milliseconds, **network):
    return altered(record, measurements={"latency_ms": milliseconds}, results=network)


def test_points_are_steps_with_their_share_of_the_teacher(tmp_path):
    records = plain()
    (drawing,) = drawn(costs, tmp_path, records)
    axes = drawing.draw().axes[0]
    points = {
        (round(line.get_xdata()[0], 6), round(line.get_ydata()[0], 6))
        for line in axes.lines
        if line.get_marker() in MARKS.values()
    }
    slow = {
        (
            round(mean(records, name, lambda r: r.measurements.step_ms) + 1.2, 6),
            round(mean(records, name), 6),
        )
        for name in NAMES
    }
    assert points == slow
    assert "12.5 million for all" in axes.get_title(loc="left").replace("\n", " ")


def test_answers_that_differ_are_drawn_and_named_where_few_do(tmp_path):
    networks = [NAMES.index(r.run.baseline) for r in plain()]
    records = [
        with_latency(r, 2.0 + 3 * k, parameters=100 + k) for r, k in zip(plain(), networks, strict=True)
    ]
    (drawing,) = drawn(costs, tmp_path / "a", records)
    latency = drawing.draw().axes[1]
    points = sorted(line.get_xdata()[0] for line in latency.lines if line.get_marker() in MARKS.values())
    assert points == pytest.approx([2.0, 5.0, 8.0, 11.0])
    records = [with_latency(r, 2.0) for r in plain()]
    records = [with_latency(r, 9.0, parameters=1) if r.run.baseline == "crd" else r for r in records]
    (drawing,) = drawn(costs, tmp_path / "b", records)
    (axes,) = drawing.draw().axes
    assert "2 for all but CRD 9" in axes.get_title(loc="left").replace("\n", " ")


def test_answers_of_one_network_have_one_latency_however_the_clock_told_it(tmp_path):
    records = [with_latency(r, 1.0 + NAMES.index(r.run.baseline)) for r in plain()]
    (drawing,) = drawn(costs, tmp_path, records)
    (axes,) = drawing.draw().axes
    assert "2.5 for all" in axes.get_title(loc="left").replace("\n", " ")
    (panel,) = Results.read(tmp_path).panels["compression"]
    results = Results.read(tmp_path)
    data = charts.chart_data([panel], results.history, results.looks)
    assert "latency_ms" not in [name for name, *_ in data["panels"][0]["costs"]]
    other = [with_latency(r, 9.0, macs=1) if r.run.baseline == "crd" else r for r in records]
    (panel,) = results_of(tmp_path / "other", other).panels["compression"]
    latencies = {row.baseline: panel.latency_of(row) for row in panel.rows}
    assert latencies == {"scratch": 7 / 3, "kd": 7 / 3, "crd": 9.0, "label_smoothing": 7 / 3}


def test_the_front_is_what_nothing_cheaper_beats():
    places = {"a": (1, 5), "b": (2, 4), "c": (3, 7), "d": (3, 6)}
    points = [costs.Point(label, "k", "o", x, y) for label, (x, y) in places.items()]
    assert [point.label for point in costs.front(points)] == ["a", "c"]
    assert [point.label for point in costs.front(points, higher=False)] == ["a", "b"]


def test_names_on_the_margin_stay_beside_the_axes_however_many_they_are():
    for count in (3, 30, 63):
        (_, (axes,)) = scatter_axes(1, [f"m{k}" for k in range(count)], one_panel())
        draw_points(axes, [Point(f"m{k}", "k", "o", 1.0, 60 + k % 3) for k in range(count)])
        places = [text.xyann[1] for text in axes.texts if text.xyann[0] > 1]
        assert len(places) >= count - 1
        assert min(places) > -0.01
        assert max(places) <= 1


def one_panel():
    (panel,) = Results.of(plain()).panels["compression"]
    return panel


def test_the_page_and_the_figure_have_the_same_cost_of_a_step():
    panel = one_panel()
    results = Results.of([each for row in panel.rows for each in row.records])
    (data,) = charts.chart_data([panel], results.history, results.looks)["panels"]
    for row, shown in zip(panel.rows, data["rows"], strict=True):
        assert shown["costs"]["step_ms"] == pytest.approx(costs.training_cost(row), abs=0.01)


def test_a_mean_of_survivors_is_on_no_front_and_its_name_counts_them(tmp_path):
    records = plain()
    records[-3:] = [make_record("kd", 3, "diverged"), make_record("crd", 3), make_record("scratch", 3)]
    (panel,) = results_of(tmp_path, records).panels["compression"]
    points = points_of(Results.read(tmp_path), panel, lambda row: {"kd": 1.0}.get(row.baseline, 2.0))
    named = {point.label for point in points}
    assert {"KD, 3 of 4 runs", "CRD"} <= named
    assert "KD, 3 of 4 runs" not in {point.label for point in costs.front(points)}


# --- fidelity ---


def test_fidelity_is_what_no_teacher_is_measured_in(tmp_path):
    records = plain()
    found = drawn(fidelity, tmp_path, records)
    assert [drawing.name for drawing in found] == ["compression_fidelity_1"]
    axes, divergence = found[0].draw().axes
    assert divergence.get_xlabel() == "KL divergence to the teacher (nats) ↓"
    points = sorted((line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines)
    slow = [
        (mean(records, n, lambda r: 100 * r.results.scores["test@last"]["agreement"]), mean(records, n))
        for n in NAMES
    ]
    assert np.allclose(points, sorted(slow))
    assert sorted(text.get_text() for text in axes.texts) == sorted(
        ("Scratch", "KD", "CRD", "Label smoothing")
    )


# --- probes ---


def test_the_heat_map_prints_means_and_colours_differences_to_the_anchor(tmp_path):
    records = []
    for record in plain():
        score = 0.5 + 0.05 * NAMES.index(record.run.baseline) + 0.01 * record.run.seed
        probes = {"own": {"linear": score, "knn": score - 0.1}, "digits": {"linear": 0.9}}
        ceiling = {"own": {"linear": 0.8, "knn": 0.75}}
        records.append(altered(record, results={"probes": probes}, teacher={"probes": ceiling}))
    without = [r for r in records if r.run.baseline != "scratch"] + [make_record("scratch", 0, "diverged")]
    (alone,) = drawn(probe_map, tmp_path / "alone", without)
    assert "the difference to the mean of all lines (blue: better). The first line is" in alone.caption
    (drawing,) = drawn(probe_map, tmp_path, records)
    assert "the difference to the anchor's features (blue: better). The first line is" in drawing.caption
    axes = drawing.draw().axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == ["teacher", "Scratch", "KD", "CRD", "Label smoothing"]
    assert next(label.get_text() for label in axes.get_xticklabels()) == "own, all labels, linear"
    numbers = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in axes.texts}
    assert numbers[0, 0] == "80"
    assert numbers[1, 0] == "51"
    assert numbers[3, 1] == "51"
    assert (0, 2) not in numbers
    colours = axes.collections[0].get_array()
    assert list(colours[1, :2]) == pytest.approx([0, 0])
    assert colours[3, 0] == pytest.approx(10)


# --- sensitivity ---


def swept(values, seeds=3, **further):
    records = []
    for value in values:
        overrides = {} if value == 0.8 else {"weight": value}
        for seed in range(seeds):
            settings = {"weight": value, "tau": 0.07, **further}
            records.append(make_record("crd", seed, hyperparameters=settings, overrides=overrides))
    return records + [make_record("scratch", seed) for seed in range(seeds)]


def test_a_hyper_parameter_with_three_values_is_swept(tmp_path):
    records = swept([0.1, 0.8, 8.0])
    (drawing,) = drawn(hyperparameters, tmp_path, records)
    axes = drawing.draw().axes[0]
    line = next(line for line in axes.lines if len(line.get_xdata()) == 3)
    assert list(line.get_xdata()) == [0.1, 0.8, 8.0]
    slow = [
        mean(records, "crd", overrides={} if value == 0.8 else {"weight": value}) for value in (0.1, 0.8, 8.0)
    ]
    assert list(line.get_ydata()) == pytest.approx(slow)
    assert (axes.get_xlabel(), axes.get_xscale()) == ("weight (logarithmic)", "log")
    rings = [line for line in axes.lines if line.get_fillstyle() == "none"]
    assert [ring.get_xdata()[0] for ring in rings] == [0.8]


def test_the_default_has_its_ring_under_another_recipe_too(tmp_path):
    records = [
        altered(r, id=f"2{r.id}", condition={"overrides": r.condition.overrides | {"recipe.epochs": 12}})
        for r in swept([0.1, 0.8, 8.0])
    ]
    (drawing,) = drawn(hyperparameters, tmp_path, records)
    rings = [line for line in drawing.draw().axes[0].lines if line.get_fillstyle() == "none"]
    assert [ring.get_xdata()[0] for ring in rings] == [0.8]


def test_panels_of_other_recipes_are_told_apart(tmp_path):
    records = plain() + plain(overrides={"recipe.learning_rate": 0.1})
    panels = results_of(tmp_path, records).panels["compression"]
    name = "Shapes (synthetic), resnet20-resnet8"
    assert [panel.heading for panel in panels] == [name, f"{name}; recipe.learning_rate=0.1"]


def test_two_teachers_give_no_interval_however_many_seeds_they_have(tmp_path):
    records = [
        altered(r, teacher={"id": f"t{teacher}", "checksum": f"c{teacher}"})
        for teacher in (0, 1)
        for r in plain(teacher_seed=teacher)
    ]
    results = results_of(tmp_path, records)
    (panel,) = results.panels["compression"]
    assert {row.interval(panel.key) for row in panel.rows} == {None}
    shown = charts.comparison(panel, results.looks)["rows"]
    assert {(row["low"], row["high"]) for row in shown} == {(None, None)}
    assert not any("[" in row["words"] for row in shown)


def test_two_values_are_no_sweep_and_other_differences_keep_rows_apart(tmp_path):
    assert drawn(hyperparameters, tmp_path / "a", swept([0.1, 0.8])) == []
    mixed = [
        make_record("crd", 0, hyperparameters={"weight": w, "tau": t}, overrides={"weight": w, "tau": t})
        for w, t in ((0.1, 1.0), (0.2, 2.0), (0.3, 3.0))
    ]
    assert drawn(hyperparameters, tmp_path / "b", mixed) == []


def test_rows_that_differ_in_a_word_or_in_their_code_are_swept_apart(tmp_path):
    values = [0.1, 0.4, 0.8, 8.0]
    worded = swept(values, space="own") + [
        r for r in swept(values[:3], space="critic") if r.run.baseline == "crd"
    ]
    other = [altered(r, id=f"2{r.id}", provenance={"code_checksum": "other"}) for r in swept(values)[:-3]]
    for name, records in (("words", worded), ("code", swept(values) + other)):
        (panel,) = results_of(tmp_path / name, records).panels["compression"]
        counts = sorted(len(sweep.points) for sweep in hyperparameters.sweeps(panel))
        assert counts == ([3, 4] if name == "words" else [4, 4])
        for sweep in hyperparameters.sweeps(panel):
            assert len({row.finished[0].hyperparameters.get("space") for _, row in sweep.points}) == 1
            assert len({row.finished[0].provenance.code_checksum for _, row in sweep.points}) == 1


def test_a_caption_says_whose_runs_were_lost(tmp_path):
    (figure,) = drawn(hyperparameters, tmp_path, [*swept([0.1, 0.8, 8.0]), make_record(
        "crd", 5, "diverged", hyperparameters={"weight": 0.8, "tau": 0.07})])  # fmt: skip
    assert figure.caption.endswith("Runs of CRD diverged or failed: their means are those of the others.")


# --- label fractions ---


def test_curves_are_means_by_label_fraction(tmp_path):
    records = [r for fraction in (0.01, 0.1, 1.0) for r in plain(label_fraction=fraction)]
    (drawing,) = drawn(label_fractions, tmp_path, records)
    axes = drawing.draw().axes[0]
    curves = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert len(curves) == len(NAMES)
    for name, line in zip(NAMES, curves, strict=True):
        slow = [mean(records, name, label_fraction=fraction) for fraction in (0.01, 0.1, 1.0)]
        assert list(line.get_ydata()) == pytest.approx(slow)
        assert list(line.get_xdata()) == pytest.approx([0.01, 0.1, 1.0], rel=0.1)


def test_what_tells_curves_apart_stands_above_them(tmp_path):
    records = [
        r
        for fraction in (0.1, 0.5)
        for epochs in (12, 100)
        for r in plain(label_fraction=fraction, epochs=epochs)
    ]
    (drawing,) = drawn(label_fractions, tmp_path, records)
    titles = [axes.get_title(loc="left") for axes in drawing.draw().axes]
    assert [title.split("\n")[-1] for title in titles] == ["epochs 12", "epochs 100"]
    assert not any("label fraction" in title for title in titles)


def test_labels_name_the_overrides_of_a_row_and_not_those_of_the_recipe_that_all_share(tmp_path):
    recipe = {"recipe.milestones": [0.5, 0.75]}
    records = [
        make_record(name, 0, label_fraction=fraction, overrides=recipe | own)
        for fraction in (0.1, 1.0)
        for name, own in (("scratch", {}), ("kd", {}), ("kd", {"temperature": 2.0}))
    ]
    told = ["Scratch", "KD", "KD (temperature=2.0)"]
    (drawing,) = drawn(label_fractions, tmp_path, records)
    assert [text.get_text() for text in drawing.draw().legends[0].get_texts()] == told
    panels = task_panels(task_blocks(records)["compression"])
    assert [[panel.label(row) for row in panel.rows] for panel in panels] == [told, told]


def test_an_anchor_under_all_labels_alone_makes_no_curve(tmp_path):
    records = plain(label_fraction=0.1) + [make_record("scratch", seed) for seed in range(3)]
    assert drawn(label_fractions, tmp_path, records) == []


# --- all of them ---


@pytest.mark.parametrize(
    "kind", [comparison, costs, fidelity, gains, label_fractions, hyperparameters, probe_map]
)
def test_what_failed_or_has_one_seed_breaks_no_figure(tmp_path, kind):
    records = plain(seeds=1, label_fraction=0.1) + swept([0.1, 0.8, 8.0], seeds=1)
    records += [make_record("fsp", 0, "not_applicable", reason="no")]
    records += [
        make_record("fitnet", 0, "diverged", reason="nan"),
        make_record("fitnet", 0, "diverged", label_fraction=0.1),
        make_record("crd+kd", 0, "failed", reason="KeyError", label_fraction=0.1),
    ]
    for drawing in drawn(kind, tmp_path, records):
        if drawing.draw is not None:
            drawing.draw()


# --- looks ---


def test_a_further_row_of_a_baseline_has_the_look_of_no_other_as_long_as_there_is_one():
    own = baseline_looks([f"m{k}" for k in range(30)], ())
    shown = looks({**own, "m0 (weight=1)": own["m0"], "m0 (weight=2)": own["m0"], "m1 (weight=1)": own["m1"]})
    assert len(set(shown.values())) == 33
    assert {name: look for name, look in shown.items() if name in own} == own
