"""The lists of papers' tables and figures: what is made, what is missing, and the commands for that."""

import shlex
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import yaml

from benchmark.errors import UserError
from benchmark.planning.grid import make_plan
from benchmark.plugins import load
from benchmark.records import Condition, Record, Run
from benchmark.reporting.papers import load_papers, save_papers
from benchmark.reporting.published import REPORTED
from benchmark.reporting.results import Results
from benchmark.settings import parse
from tests.reporting.fake_records import altered, make_record, write_run

PAPER = {"dataset": "cifar100", "epochs": 240, "teacher_epochs": 240, "validation": 0.0}
LIST = {
    "title": "A paper",
    "arxiv": "1234.56789",
    "items": [
        {
            "number": "Table 1",
            "title": "two methods",
            "shows": "pairs",
            "task": "compression",
            "dataset": "cifar100",
            "pairs": ["vgg13-vgg8"],
            "baselines": ["scratch", "kd"],
            "seeds": [0, 1],
            "conditions": {"epochs": 240},
            "arguments": "--preset paper --datasets cifar100 --data-dir DATA",
        },
        {
            "number": "Figure 2",
            "title": "few labels",
            "shows": "comparison",
            "task": "compression",
            "dataset": "cifar100",
            "pairs": ["vgg13-vgg8"],
            "baselines": ["scratch"],
            "seeds": [0],
            "vary": {"label_fraction": [0.1, 1.0]},
            "arguments": "--datasets cifar100 --data-dir DATA",
        },
    ],
}


@pytest.fixture
def lists(tmp_path):
    folder = tmp_path / "reported"
    folder.mkdir()
    (folder / "mine.yaml").write_text(yaml.safe_dump(LIST))
    shutil.copy(REPORTED / "recipes.yaml", folder)
    return folder


def made(tmp_path, records, lists):
    for record in records:
        write_run(tmp_path / "x", record)
    lines = save_papers(Results.read(tmp_path / "x"), load_papers(["mine"], lists), tmp_path / "x" / "papers")
    files = {path.name for path in (tmp_path / "x" / "papers").rglob("*.*")}
    return lines, files


def test_what_the_records_allow_is_made_under_the_papers_numbers(tmp_path, lists):
    records = [make_record(b, s, pair="vgg13-vgg8", **PAPER) for b in ("scratch", "kd") for s in (0, 1)]
    records += [make_record("crd", 0, pair="vgg13-vgg8", **PAPER)]  # not of this table
    lines, files = made(tmp_path, records, lists)
    assert {"table_1.md", "table_1.tex", "table_1.csv", "figure_2.png", "figure_2.pdf"} <= files
    text = (tmp_path / "x" / "papers" / "mine" / "table_1.md").read_text()
    assert "Table 1. two methods" in text
    assert "CRD" not in text
    assert "72.98" in text
    assert "  Table 1, two methods: complete" in lines
    assert "  Figure 2, few labels: in part" in lines


def test_missing_runs_are_named_with_the_command_that_makes_them(tmp_path, lists):
    records = [make_record(b, 0, pair="vgg13-vgg8", **PAPER) for b in ("scratch", "kd")]
    lines, _ = made(tmp_path, records, lists)
    place = f" --results-dir {tmp_path} --name x"
    missing = [line.removeprefix("    missing: ") for line in lines if "missing: " in line]
    assert missing == [
        "python run_all.py --preset paper --datasets cifar100 --data-dir DATA"
        " --pairs vgg13-vgg8 --baselines scratch kd --seeds 1" + place,
        "python run_all.py --datasets cifar100 --data-dir DATA"
        " --pairs vgg13-vgg8 --baselines scratch --seeds 0 --label-fraction 0.1" + place,
    ]


def test_without_any_runs_everything_is_missing_and_nothing_is_written(tmp_path, lists):
    lines, files = made(tmp_path, [make_record("kd", 0)], lists)
    assert not files
    assert [
        line.rpartition(": ")[2] for line in lines if line.startswith("  T") or line.startswith("  F")
    ] == [
        "no runs",
        "no runs",
    ]
    assert sum("missing: python run_all.py" in line for line in lines) == 3


def test_new_runs_go_to_the_folder_that_was_asked(tmp_path, monkeypatch, lists):
    monkeypatch.chdir(tmp_path)
    lines = save_papers(Results.read(Path("results/mine")), load_papers(["mine"], lists), tmp_path / "papers")
    commands = [line for line in lines if "missing: " in line]
    assert commands
    assert all(line.endswith(" --name mine") for line in commands)


def test_an_unknown_list_names_the_known_ones(lists):
    with pytest.raises(UserError, match="unknown list of figures 'crdd': known: mine, paper"):
        load_papers(["crdd"], lists)


@pytest.mark.parametrize("content", ["items: 3", "- a", "title: x\nitems:\n  - {number: T}", "}{"])
def test_a_file_that_is_no_list_is_one_line(lists, content):
    (lists / "broken.yaml").write_text(content)
    with pytest.raises(UserError, match="is not a list of figures"):
        load_papers(["broken"], lists)


@pytest.mark.parametrize("paper", load_papers(["paper"]), ids=lambda paper: paper.name)
def test_every_item_speaks_of_what_is_registered_and_its_command_is_understood(paper):
    registry = load()
    assert len({item.number for item in paper.items}) == len(paper.items)
    for item in paper.items:
        assert set(item.pairs) <= set(registry.task(item.task).pairs(item.dataset))
        for part in (part for name in item.baselines for part in name.split("+")):
            registry.baseline(part)
        commands = item.missing([])
        assert len(commands) == len(list(item.settings()))
        for command in commands:
            settings = parse(shlex.split(command)[2:])
            settings.check()
            assert settings.pairs == item.pairs
            assert set(settings.datasets) == {item.dataset}
            assert settings.seeds == item.seeds


def absent(task, name, request):
    raise UserError("no data is needed for a plan")


@pytest.mark.parametrize(
    ("paper", "item"),
    [
        pytest.param(paper, item, id=f"{paper.name}-{item.stem}")
        for paper in load_papers(["paper"])
        for item in paper.items
    ],
)
def test_the_runs_that_an_items_command_plans_are_those_that_it_takes(paper, item):
    first, registry = replace(item, seeds=item.seeds[:1]), load()
    records = []
    for command in first.missing([]):
        plan = make_plan(parse(shlex.split(command)[2:]), registry, print, absent, without_data=True)
        runs = [run for cohort in plan.cohorts for run in cohort.runs]
        records += [Record(run.id, run.key, run.condition, "diverged") for run in runs]
    assert not first.missing(records)


@pytest.mark.parametrize(
    "other",
    [{"epochs": 1}, {"tuning": "tuned"}, {"teacher_seed": 1}, {"split_seed": 1}, {"overrides": {"tau": 1}}],
)
def test_runs_under_another_condition_are_no_part_of_an_item(lists, other):
    ((item, _),) = (paper.items for paper in load_papers(["mine"], lists))
    under = {"dataset": "cifar100", "pair": "vgg13-vgg8", "epochs": 240}
    assert item.records([make_record("kd", 0, **under)])
    assert not item.records([make_record("kd", 0, **{**under, **other})])


def test_with_few_labels_a_fully_labelled_companion_stands_beside_them(lists):
    content = {**LIST["items"][0], "conditions": {"label_fraction": 0.1}}
    (lists / "few.yaml").write_text(yaml.safe_dump({**LIST, "items": [content]}))
    ((item,),) = (paper.items for paper in load_papers(["few"], lists))
    under = {"dataset": "cifar100", "pair": "vgg13-vgg8"}
    few = [make_record(name, 0, label_fraction=0.1, **under) for name in ("scratch", "kd")]
    full = [make_record(name, 0, label_fraction=1.0, **under) for name in ("scratch", "kd")]
    companion = altered(full[0], about={"companion": "all_labels"})
    assert item.records([*few, companion, full[1]]) == [*few, companion]
    assert item.records([companion, full[1]]) == []


def condition_of(item, setting):
    """The condition of an item's runs, all of one baseline where hyper-parameters vary."""
    wanted = {**item.conditions, **setting}
    entries = [entry.partition("=") for entry in wanted.pop("overrides", "").split()]
    overrides = {target.removeprefix(f"{item.baselines[0]}."): float(value) for target, _, value in entries}
    return Condition(**wanted, overrides=overrides)


def test_the_runs_of_a_sweep_are_told_apart_by_their_own_hyper_parameter(lists):
    content = {
        **LIST["items"][0],
        "baselines": ["kd", "crd+kd"],
        "vary": {"overrides": ["kd.weight=2 recipe.decay=0.5"]},
    }
    (lists / "sweep.yaml").write_text(yaml.safe_dump({**LIST, "items": [content]}))
    ((item,),) = (paper.items for paper in load_papers(["sweep"], lists))
    under = {"dataset": "cifar100", "pair": "vgg13-vgg8", "epochs": 240}
    own, part = ({name: 2.0, "recipe.decay": 0.5} for name in ("weight", "kd.weight"))
    right = [make_record("kd", 0, overrides=own, **under), make_record("crd+kd", 0, overrides=part, **under)]
    wrong = [make_record("kd", 1, overrides=each, **under) for each in ({}, {"weight": 2.0}, part)]
    assert item.records([*right, *wrong]) == right


def test_a_complete_item_misses_nothing():
    for paper in load_papers(["paper"]):
        for item in paper.items:
            records = [
                Record(
                    f"{number}", Run(item.task, item.dataset, *run), condition_of(item, setting), "diverged"
                )
                for number, (*run, setting) in enumerate(
                    product(item.pairs, item.baselines, item.seeds, item.settings())
                )
            ]
            assert item.missing(records) == []
            assert len(item.records(records)) == len(records)
            assert item.missing(records[1:])
            assert item.missing([replace(records[0], status="failed"), *records[1:]])
