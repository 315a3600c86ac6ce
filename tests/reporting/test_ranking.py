"""Ranks over blocks, against scipy, scikit-posthocs and a worked example."""

import numpy as np
import pytest
import scikit_posthocs
from scipy import stats

from benchmark.reporting.figures.critical_difference import cliques, critical_difference_figure, drawings
from benchmark.reporting.ranking import friedman_nemenyi, rank
from benchmark.reporting.results import Results
from tests.reporting.fake_records import altered, make_record, write_run

# Table 6 of Demšar (JMLR 2006): AUC of C4.5 and three variants on fourteen data sets.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975], [0.957, 0.978, 0.946, 0.970],
    ]
)  # fmt: skip
NAMES = ["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"]


def test_the_worked_example_of_the_paper():
    found = friedman_nemenyi(NAMES, DEMSAR)
    printed = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}
    assert found.ranks == pytest.approx(printed, abs=5e-4)
    assert list(found.ranks) == sorted(printed, key=printed.get)
    assert found.critical_difference == pytest.approx(1.25, abs=0.01)
    plain = 12 * 14 / (4 * 5) * (sum(r**2 for r in found.ranks.values()) - 4 * 25 / 4)
    assert plain == pytest.approx(9.28, abs=0.02)  # without the correction for ties, as printed
    assert found.statistic > plain


def test_it_agrees_with_scipy_and_scikit_posthocs():
    scores = np.random.default_rng(0).normal(size=(7, 5)) + np.arange(5) / 2
    found = friedman_nemenyi(list("abcde"), scores)
    statistic, p = stats.friedmanchisquare(*scores.T)
    assert (found.statistic, found.p) == pytest.approx((statistic, p))
    table = scikit_posthocs.posthoc_nemenyi_friedman(scores).to_numpy()
    for i, one in enumerate("abcde"):
        for j, other in enumerate("abcde"):
            if i != j:
                assert found.pairwise[one, other] == pytest.approx(table[i, j])


def test_two_baselines_differ_by_nemenyi_where_they_do_by_the_critical_difference():
    found = friedman_nemenyi(list("abcdef"), np.random.default_rng(1).normal(size=(9, 6)) + np.arange(6))
    for (one, other), p in found.pairwise.items():
        assert (p < 0.05) == (abs(found.ranks[one] - found.ranks[other]) > found.critical_difference)


def panels_of(folder, records):
    for record in records:
        write_run(folder, record)
    results = Results.read(folder)
    return results, [panel for panels in results.panels.values() for panel in panels]


def blocks(count, baselines=("scratch", "kd", "crd"), seeds=2):
    return [
        make_record(b, s, dataset=f"set{e}") for b in baselines for s in range(seeds) for e in range(count)
    ]


def test_conditions_of_one_dataset_are_one_block(tmp_path):
    records = [make_record(b, 0, dataset=f"set{e}", label_fraction=share)
               for b in ("scratch", "kd", "crd") for e in range(5) for share in (0.1, 0.2, 0.5)]  # fmt: skip
    _, panels = panels_of(tmp_path, records)
    assert len(panels) == 15
    assert rank(panels).blocks == 5


def test_ranks_are_those_of_the_means_over_seeds(tmp_path):
    records = blocks(6)
    _, panels = panels_of(tmp_path, records)
    found = rank(panels)
    table = np.array(
        [
            [
                np.mean([r.results.scores["test@last"]["top1"] for r in records
                         if r.run.dataset == f"set{e}" and r.run.baseline == b])
                for b in ("scratch", "kd", "crd")
            ]
            for e in range(6)
        ]
    )  # fmt: skip
    slow = dict(zip(("Scratch", "KD", "CRD"), stats.rankdata(-table, axis=1).mean(0), strict=True))
    assert found.blocks == 6
    assert found.ranks == pytest.approx(slow)


def test_below_five_blocks_nothing_is_drawn_and_the_reason_is_given(tmp_path):
    results, _ = panels_of(tmp_path, blocks(4))
    (drawing,) = drawings(results)
    assert drawing.draw is None
    assert drawing.reason == "not drawn: 4 datasets, 5 are needed"


def test_a_baseline_that_misses_a_block_is_left_out_and_named(tmp_path):
    records = blocks(5) + [make_record("fitnet", s, dataset=f"set{e}") for s in range(2) for e in range(4)]
    results, panels = panels_of(tmp_path, records)
    assert rank(panels).left_out == ("FitNet",)
    (drawing,) = drawings(results)
    assert "Left out, as they have no mean on every dataset: FitNet." in drawing.caption
    assert "Synthetic" in drawing.caption


def test_a_baseline_that_misses_one_condition_of_a_dataset_is_left_out_too(tmp_path):
    names, shares = ("scratch", "kd", "crd", "fitnet"), (0.1, 0.5)
    records = [make_record(b, 0, dataset=f"set{e}", label_fraction=share)
               for b in names for e in range(5) for share in shares]  # fmt: skip
    _, panels = panels_of(tmp_path / "all", records)
    assert rank(panels).left_out == ()
    missing = ("fitnet", "set3", 0.1)
    fewer = [r for r in records if (r.run.baseline, r.run.dataset, r.condition.label_fraction) != missing]
    _, panels = panels_of(tmp_path / "fewer", fewer)
    found = rank(panels)
    assert found.left_out == ("FitNet",)
    assert (found.blocks, set(found.ranks)) == (5, {"Scratch", "KD", "CRD"})


def test_the_axis_of_ranks_keeps_its_width_beside_many_and_long_names():
    titles = [f"A method with quite a long name, number {k}" for k in range(40)]
    scores = np.random.default_rng(0).normal(size=(6, len(titles)))
    figure = critical_difference_figure(friedman_nemenyi(titles, scores))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    low, high = axes.transData.transform([(1, 0), (len(titles), 0)])[:, 0] / figure.dpi
    assert high - low > 1
    (left, _), (right, _) = figure.transFigure.transform([(0, 0), (1, 1)])
    boxes = [text.get_window_extent() for text in axes.texts]
    assert all(left - 1 <= box.x0 and box.x1 <= right + 1 for box in boxes)


def test_a_baseline_of_which_runs_diverged_is_left_out_and_named(tmp_path):
    lucky = [
        altered(
            make_record("fitnet", 0, dataset=f"set{e}"), results={"scores": {"test@last": {"top1": 0.99}}}
        )
        for e in range(5)
    ]
    records = blocks(5) + lucky + [make_record("fitnet", 1, "diverged", dataset="set3")]
    results, panels = panels_of(tmp_path, records)
    assert "FitNet" not in rank(panels).ranks
    assert rank(panels).left_out == ("FitNet",)
    assert "FitNet" in next(drawings(results)).caption


def test_tuned_rows_and_longer_anchors_change_no_rank(tmp_path):
    names = ("scratch", "kd", "crd")
    plain = [make_record(b, 0, dataset=f"set{e}", epochs=12, updates=120) for b in names for e in range(5)]
    _, panels = panels_of(tmp_path / "plain", plain)
    staged = [make_record("fitnet", 0, dataset=f"set{e}", epochs=12, updates=140) for e in range(5)]
    longer = [make_record("scratch", 0, dataset=f"set{e}", epochs=14, updates=140) for e in range(5)]
    tuned = [make_record(b, 0, dataset=f"set{e}", epochs=12, updates=120, tuning="tuned")
             for b in names[1:] for e in range(5)]  # fmt: skip
    _, more = panels_of(tmp_path / "more", [*plain, *staged, *longer, *tuned])
    found = rank(more)
    assert set(found.ranks) == {"Scratch", "KD", "CRD", "FitNet"}
    without = [title for title in found.ranks if title != "FitNet"]
    assert without == list(rank(panels).ranks)


def test_two_baselines_of_one_title_are_ranked_each_for_itself(tmp_path):
    records = [
        altered(r, about={"baseline_title": "KD"}) if r.run.baseline == "crd" else r
        for r in blocks(5, ("scratch", "kd", "crd"))
    ]
    _, panels = panels_of(tmp_path / "one", records)
    _, apart = panels_of(tmp_path / "apart", blocks(5, ("scratch", "kd", "crd")))
    found, plain = rank(panels), rank(apart)
    assert found.ranks["KD (kd)"] == plain.ranks["KD"]
    assert found.ranks["KD (crd)"] == plain.ranks["CRD"]


@pytest.mark.filterwarnings("error")
def test_where_all_are_level_there_is_no_p(tmp_path):
    level = {"scores": {"test@last": {"top1": 0.5}}}
    results, panels = panels_of(tmp_path, [altered(record, results=level) for record in blocks(5)])
    assert set(rank(panels).ranks.values()) == {2.0}
    (drawing,) = drawings(results)
    assert "Friedman" not in drawing.caption
    assert "nan" not in drawing.caption
    assert drawing.draw().axes


def test_too_few_complete_baselines_are_a_reason(tmp_path):
    _, panels = panels_of(tmp_path, blocks(5, ("scratch", "kd")))
    assert rank(panels).reason == "not drawn: 2 baselines finished in all 5 datasets, 3 are needed"


def test_bars_join_what_lies_within_the_critical_difference():
    assert cliques([1.0, 1.5, 2.6, 4.0], 1.2) == [(1.0, 1.5), (1.5, 2.6)]
    assert cliques([1.0, 1.5, 2.0], 1.2) == [(1.0, 2.0)]
    assert cliques([1.0, 3.0], 1.2) == []


def test_the_diagram_names_every_baseline_with_its_rank(tmp_path):
    _, panels = panels_of(tmp_path, blocks(5, ("scratch", "kd", "crd", "fitnet")))
    found = rank(panels)
    texts = [text.get_text() for text in critical_difference_figure(found).axes[0].texts]
    for title, value in found.ranks.items():
        assert any(title in text and f"{value:.1f}" in text for text in texts)
