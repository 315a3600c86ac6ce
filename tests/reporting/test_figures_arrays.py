"""Figures of what runs keep beside scalars: drawn is what the arrays hold."""

import json

import numpy as np
import pytest

from benchmark.reporting.figures import correlations, diagnostics, embedding_maps, measures, save_drawing
from benchmark.reporting.results import Results
from tests.reporting.fake_records import arrays_of, make_record, write_run

NAMES = ("scratch", "kd", "crd")


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        for seed in range(2):
            record = make_record(name, seed)
            np.savez(write_run(tmp_path, record) / "arrays.npz", **arrays_of(record))
    return tmp_path


def run_folder(folder, name, seed):
    return next((folder / "runs").glob(f"*-{name}-seed{seed}-*"))


def drawn(kind, folder):
    return list(kind.drawings(Results.read(folder)))


def test_the_matrices_are_the_mean_differences_sorted_by_size(folder):
    (drawing,) = drawn(correlations, folder)
    axes = [each for each in drawing.draw().axes if each.images and each.get_title()]
    slow = {}
    for name in NAMES:
        found = [np.load(run_folder(folder, name, seed) / "arrays.npz") for seed in range(2)]
        slow[name] = np.mean(
            [a["test_class_correlation"].astype(float) - a["teacher_class_correlation"] for a in found],
            axis=0,
        )
    titles = [f"{title} ({np.abs(slow[name]).mean():.2f})" for title, name in
              (("KD", "kd"), ("CRD", "crd"), ("Scratch", "scratch"))]  # fmt: skip
    assert [each.get_title() for each in axes] == titles
    np.testing.assert_allclose(axes[0].images[0].get_array(), slow["kd"], atol=1e-3)
    low, high = axes[0].images[0].get_clim()
    assert low == -high
    assert {each.images[0].get_clim() for each in axes} == {(low, high)}


def test_networks_of_other_classes_and_runs_without_matrices_are_left_out(folder):
    path = run_folder(folder, "crd", 0) / "arrays.npz"
    np.savez(path, **{**np.load(path), "teacher_class_correlation": np.eye(3, dtype=np.float16)})
    run_folder(folder, "crd", 1).joinpath("arrays.npz").unlink()
    (drawing,) = drawn(correlations, folder)
    titles = [axes.get_title() for axes in drawing.draw().axes if axes.get_title()]
    assert [title.split(" ")[0] for title in titles] == ["KD", "Scratch"]


def test_teacher_and_students_are_mapped_with_their_classes(folder):
    (drawing,) = drawn(embedding_maps, folder)
    axes = drawing.draw().axes
    assert [each.get_title() for each in axes] == ["teacher", "Scratch", "KD", "CRD"]
    assert all(len(each.collections[0].get_offsets()) == 40 for each in axes)
    colours = axes[0].collections[0].get_facecolors()
    assert len({tuple(colour) for colour in colours}) == 6
    assert (colours[0] == colours[6]).all()
    places = np.asarray(axes[0].collections[0].get_offsets())
    own = np.linalg.norm(places[::6] - places[::6].mean(0), axis=1).mean()
    assert (
        own < 0.3 * np.linalg.norm(places - places.mean(0), axis=1).mean()
    )  # the teacher's classes hold together


def test_only_so_many_networks_fit_and_the_others_are_named(folder, monkeypatch):
    monkeypatch.setattr(embedding_maps, "SHOWN", 3)
    (drawing,) = drawn(embedding_maps, folder)
    assert [axes.get_title() for axes in drawing.draw().axes] == ["teacher", "Scratch", "KD"]
    assert "Not shown for want of room: CRD." in drawing.caption


def test_masks_have_no_map(folder):
    for path in (folder / "runs").glob("*/arrays.npz"):
        np.savez(path, **{**np.load(path), "test_label": np.zeros((40, 4, 4), np.int16)})
    assert drawn(embedding_maps, folder) == []


def test_diagnostics_stand_early_beside_late(folder):
    path = run_folder(folder, "kd", 0) / "arrays.npz"
    draw = np.random.default_rng(3)
    early, late = draw.random((8, 8)) / 64, np.eye(8) / 8
    extra = {
        "diagnostics_first.a.plan_of_b": early,
        "diagnostics.a.plan_of_b": late,
        "diagnostics.a.vector": late[0],
    }
    np.savez(path, **{**np.load(path), **extra})
    drawing, values = drawn(diagnostics, folder)
    (axes,) = values.draw().axes
    assert axes.get_title() == "vector"
    np.testing.assert_allclose(axes.lines[-1].get_ydata(), late[0])
    assert values.name.startswith("compression_diagnostics_values_1_kd")
    shown = [axes for axes in drawing.draw().axes if axes.get_title()]
    assert [axes.get_title() for axes in shown] == ["plan of b, first epoch", "plan of b, end"]
    np.testing.assert_allclose(shown[0].images[0].get_array(), early)
    np.testing.assert_allclose(shown[1].images[0].get_array(), late)
    assert shown[0].images[0].get_clim() == shown[1].images[0].get_clim()


def test_a_matrix_without_a_beginning_stands_alone_and_a_broken_one_not_at_all(folder):
    path = run_folder(folder, "kd", 0) / "arrays.npz"
    extra = {"diagnostics.plan": np.eye(4), "diagnostics.cost": np.full((4, 4), np.nan)}
    np.savez(path, **{**np.load(path), **extra})
    (drawing,) = drawn(diagnostics, folder)
    assert [axes.get_title() for axes in drawing.draw().axes if axes.get_title()] == ["plan, end"]


def test_measures_are_followed_over_the_epochs_side_by_side_with_those_of_a_compositions_parts(folder):
    told = {}
    for name, column in (("kd", "mass"), ("crd", "crd.mass")):
        for seed in range(2):
            path = run_folder(folder, name, seed) / "history.jsonl"
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            told[name, seed] = [(seed + 1) / (line["epoch"] + len(name)) for line in lines]
            for line, value in zip(lines, told[name, seed], strict=True):
                line["diagnostics"] = {column: value}
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (drawing,) = drawn(measures, folder)
    (axes,) = drawing.draw().axes
    assert axes.get_title(loc="left") == "mass"
    lines = [line.get_ydata() for line in axes.lines]
    assert len(lines) == 2
    for name, line in zip(("kd", "crd"), lines, strict=True):
        np.testing.assert_allclose(line, np.mean([told[name, 0], told[name, 1]], axis=0))


def test_runs_that_measure_nothing_leave_no_such_figure(folder):
    assert drawn(measures, folder) == []


@pytest.mark.parametrize("kind", [correlations, embedding_maps, diagnostics])
def test_broken_and_missing_arrays_cost_their_run_alone(folder, kind):
    for k, path in enumerate(sorted((folder / "runs").glob("*/arrays.npz"))):
        if k % 2:
            path.unlink()
        else:
            path.write_bytes(b"rubbish")
    assert drawn(kind, folder) == []


def test_the_same_arrays_give_the_same_picture(folder, tmp_path):
    for kind in (correlations, embedding_maps):
        (drawing,) = drawn(kind, folder)
        first = [path.read_bytes() for path in save_drawing(drawing, tmp_path)]
        (again,) = drawn(kind, folder)
        assert first == [path.read_bytes() for path in save_drawing(again, tmp_path)]
