"""Trials of tuning: their frame and their figure, against slow counting."""

from __future__ import annotations

import itertools
import json
import statistics
from dataclasses import replace

import pandas as pd
import pytest

from benchmark.records import Results as Outcomes
from benchmark.records import Selection, Trial, write_record
from benchmark.reporting import report
from benchmark.reporting.documents.pages import Experiment
from benchmark.reporting.figures import draw
from benchmark.reporting.figures.tuning import expected_best
from benchmark.reporting.results import Results
from benchmark.reporting.trials import trial_frame
from tests.reporting.fake_records import altered, make_record, write_run

SCORES = {"kd": (0.5, 0.7, 0.6, 0.4), "scratch": (0.3, 0.2, 0.3, 0.1)}


def trials():
    found = []
    for name, scores in SCORES.items():
        for number, score in enumerate(scores):
            record = make_record(name, 1000, hyperparameters={"weight": float(number)})
            found.append(
                altered(
                    altered(record, trial=Trial(number, (score / 2, score))),
                    id=f"{name}-{number}",
                    condition={"tuning": "trial"},
                    status="finished" if score == max(scores) else "stopped",
                    results=Outcomes(scores={"validation@last": {"top1": score}}),
                    measurements={"total_s": 2.0},
                )
            )
    return found


def tuned_runs():
    return [
        altered(
            make_record(name, seed, hyperparameters={"weight": 1.0}),
            id=f"tuned-{name}-{seed}",
            condition={"tuning": "tuned"},
            selection=Selection(number=1 if name == "kd" else 0, trials=4),
        )
        for name in SCORES
        for seed in range(3)
    ]


def test_the_frame_has_a_row_for_each_trial_and_marks_the_chosen_ones():
    frame = trial_frame(trials(), tuned_runs())
    assert len(frame) == 8
    for name, scores in SCORES.items():
        own = frame[frame.baseline == name]
        assert own.trial.to_list() == [0, 1, 2, 3]
        assert own.score.to_list() == list(scores)
        assert own.epochs.to_list() == [2] * 4
    assert frame[frame.chosen][["baseline", "trial"]].to_numpy().tolist() == [["kd", 1], ["scratch", 0]]
    assert json.loads(frame.hyperparameters.iloc[3]) == {"weight": 3.0}


def test_a_page_says_which_settings_left_their_defaults_and_how_far_those_came():
    results = replace(Results.of(tuned_runs()), trials=trials())
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in Experiment("some", results).choices.splitlines()
    ]
    assert lines[2:] == [["Scratch", "–", "30.0", "30.0"], ["KD", "weight=1.0", "50.0 (epoch 2)", "70.0"]]


def test_a_choice_of_runs_keeps_the_trials_of_their_searches_alone():
    other = [altered(record, id=f"few-{record.id}", condition={"label_fraction": 0.1}) for record in trials()]
    both = replace(Results.of(tuned_runs()), trials=[*trials(), *other])
    chosen = both.where(baseline="kd")
    assert [record.id for record in chosen.trials] == [f"kd-{number}" for number in range(4)]
    assert both.where(baseline=["kd", "scratch"]).trials == trials()
    assert both.only([]).trials == []


def test_each_fold_has_a_search_of_its_own(tmp_path):
    def of(fold, records, chosen=None):
        found = [altered(r, id=f"{fold}{r.run.seed}-{r.id}", condition={"fold": fold}) for r in records]
        return found if chosen is None else [altered(r, selection=Selection(chosen, 4)) for r in found]

    searched = of("a", trials()) + of("b", trials())
    frame = trial_frame(searched, of("a", tuned_runs(), 1) + of("b", tuned_runs(), 2))
    assert frame[frame.chosen].groupby("fold").trial.unique().map(list).to_dict() == {"a": [1], "b": [2]}
    for record in [*of("a", tuned_runs()), *of("b", tuned_runs())]:
        write_run(tmp_path, record)
    for record in searched:
        (tmp_path / "trials" / record.id).mkdir(parents=True)
        write_record(tmp_path / "trials" / record.id / "record.json", record)
    (figure,) = draw(Results.read(tmp_path), "tuning").values()
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "shapes (synthetic), resnet20-resnet8\nfold a",
        "shapes (synthetic), resnet20-resnet8\nfold b",
    ]


@pytest.mark.parametrize("higher", [True, False])
def test_the_expected_best_is_the_mean_over_all_subsets(higher):
    scores = [0.3, 0.9, 0.1, 0.5, 0.5]
    best = max if higher else min
    slow = [statistics.mean(best(some) for some in itertools.combinations(scores, n)) for n in range(1, 6)]
    assert expected_best(scores, higher) == pytest.approx(slow)


def test_a_report_writes_the_frame_and_draws_the_figure(tmp_path):
    for record in [*tuned_runs(), *(make_record(name, seed) for name in SCORES for seed in range(3))]:
        write_run(tmp_path, record)
    for record in trials():
        folder = tmp_path / "trials" / record.id
        folder.mkdir(parents=True)
        write_record(folder / "record.json", record)
    broken = tmp_path / "trials" / "broken"
    broken.mkdir()
    (broken / "record.json").write_text("{")
    report(tmp_path)
    assert len(pd.read_parquet(tmp_path / "tuning.parquet")) == 8
    assert (tmp_path / "figures" / "compression_tuning.png").exists()
    results = Results.read(tmp_path)
    assert any("broken" in problem for problem in results.problems)
    (figure,) = draw(results, "tuning").values()
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 4]
    drawn = {line.get_label(): list(line.get_ydata()) for line in lines}
    assert drawn["KD"] == pytest.approx([100 * value for value in expected_best(SCORES["kd"])])


def test_the_legend_names_every_baseline_and_each_has_a_look_of_its_own(tmp_path):
    searched = trials() + [
        altered(r, id=f"2{r.id}", run={"pair": "vgg13-vgg8", "baseline": name})
        for name in ("crd", "fitnet")
        for r in trials()[:4]
    ]
    write_run(tmp_path, make_record("kd", 0))
    for number, record in enumerate(searched):
        (tmp_path / "trials" / str(number)).mkdir(parents=True)
        write_record(tmp_path / "trials" / str(number) / "record.json", record)
    (figure,) = draw(Results.read(tmp_path), "tuning").values()
    lines = {
        line.get_label(): line for axes in figure.axes for line in axes.lines if len(line.get_xdata()) > 1
    }
    assert len(figure.legends[0].get_texts()) == len(lines)
    looks = {(line.get_color(), line.get_linestyle()) for line in lines.values()}
    assert len(looks) == len(lines)


def test_trials_of_a_task_without_a_run_are_drawn_and_marked_synthetic(tmp_path):
    write_run(tmp_path, make_record("kd", 0, task="cross_modal", dataset="scenes"))
    for record in trials():
        (tmp_path / "trials" / record.id).mkdir(parents=True)
        write_record(tmp_path / "trials" / record.id / "record.json", record)
    (figure,) = draw(Results.read(tmp_path), "tuning").values()
    assert figure.axes[0].get_title(loc="left") == "shapes (synthetic), resnet20-resnet8"


def test_without_trials_there_is_nothing_of_it(tmp_path):
    write_run(tmp_path, make_record("kd", 0))
    assert draw(Results.read(tmp_path), "tuning") == {}


def test_many_folds_go_on_several_pages_and_what_has_no_title_has_its_name():
    metric = replace(make_record().metrics["top1"], title="", short="")
    searched = [
        altered(
            record,
            id=f"{fold}-{record.id}",
            condition={"fold": str(fold)},
            about={"baseline_title": ""},
            metrics={"top1": metric},
        )
        for fold in range(20)
        for record in trials()
    ]
    figures = draw(replace(Results.of(tuned_runs()), trials=searched), "tuning")
    assert [len(figure.axes) for figure in figures.values()] == [8, 8, 4]
    assert list(figures) == ["compression_tuning", "compression_tuning_2", "compression_tuning_3"]
    for figure in figures.values():
        assert {axes.get_ylabel() for axes in figure.axes} == {"top1 (%), validation"}
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["kd", "scratch"]
