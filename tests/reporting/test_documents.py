"""The pages of the documentation say what the archived records say, to the byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from benchmark.errors import UserError
from benchmark.records import LAST
from benchmark.reporting import archive, figures
from benchmark.reporting.documents.__main__ import main
from benchmark.reporting.documents.measured import Measured
from benchmark.reporting.documents.pages import DOCS, Documents, Experiment
from benchmark.reporting.results import Results
from tests.reporting.fake_records import altered, make_record

pytestmark = pytest.mark.xdist_group("archives")


@pytest.fixture(scope="module")
def documents(archived: Callable[[str, Path], Results]) -> Documents:
    return Documents.made(lambda name: archived(name, archive.FOLDER))


def test_every_page_of_numbers_is_made_of_the_archived_records(documents: Documents) -> None:
    made = {"results.md", "findings.md", "protocol.md", "performance.md", "leaderboard.md"}
    assert made <= {path.name for path in documents.pages}
    for path, text in documents.pages.items():
        assert path.read_text(encoding="utf-8") == text, "run: python -m benchmark.reporting.documents"


def test_every_picture_of_numbers_is_drawn_from_them(documents: Documents, tmp_path) -> None:
    committed = {path.stem for path in (DOCS / "images").glob("*.png")}
    assert documents.pictures.keys() == committed, "run: python -m benchmark.reporting.documents"
    for name, drawing in documents.pictures.items():
        file = next(path for path in figures.save_drawing(drawing, tmp_path) if path.suffix == ".png")
        ours, theirs = imread(file), imread(DOCS / "images" / f"{name}.png")
        assert ours.shape == theirs.shape, name
        assert np.abs(ours - theirs).mean() < 1e-3, name


@pytest.mark.parametrize(
    "file", sorted(archive.FOLDER.rglob(f"*{archive.ENDING}")), ids=lambda file: file.name.partition(".")[0]
)
def test_archives_are_of_committed_code_whole_and_of_one_number_of_threads(
    file: Path, archived: Callable[[str, Path], Results]
) -> None:
    results = archived(file.name.removesuffix(archive.ENDING), file.parent)
    assert results.records
    assert [*results.problems, *archive.unfit(results)] == []


def test_archives_take_no_more_than_sixty_megabytes() -> None:
    files = [file for file in archive.FOLDER.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 60 * 2**20


@pytest.mark.parametrize(
    "file", sorted((archive.FOLDER / "speed").glob("*.json")), ids=lambda file: file.stem
)
def test_times_are_those_of_committed_code_on_one_thread(file: Path) -> None:
    measured = Measured.read(file)
    assert measured.content["machine"]["clean"]
    assert measured.content["machine"]["threads"] == 1
    assert "1 thread, torch" in measured.made
    assert f"results/speed/{file.name}" in measured.command or "-m tests.gpu " in measured.command


def test_measurements_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.json can't be read"):
        Measured.read(tmp_path / "none.json")
    some = Measured("some", {"ratios": {"overhead": 0.0123}, "growth": {}})
    assert some.ratio("overhead", 3) == "0.012"
    with pytest.raises(UserError, match="unknown ratio of some 'overheat'"):
        some.ratio("overheat")
    with pytest.raises(UserError, match="unknown axis of some 'batch'"):
        some.growth("batch")


def test_a_cohort_without_a_teacher_has_no_row_of_its_pass() -> None:
    spread = {"median": 1.0}
    cohort = {"data_ms": spread, "wall_ms": spread, "runs": {"scratch": {"own_ms": spread}}}
    shown = {
        taught: Measured("some", {"cohort": cohort | {"teacher_ms": teacher}}).steps()
        for taught, teacher in (("taught", spread), ("alone", None))
    }
    assert "teacher pass" in shown["taught"]
    assert [line.split()[1] for line in shown["alone"].splitlines()[2:]] == ["data", "scratch", "all"]


@pytest.mark.parametrize(
    ("template", "missing"),
    [
        ("{{ experiment('some').table('top-1') }}", "some.tar.xz"),
        ("{{ sheet('some') }}", "some.csv"),
        ("{{ printed('some') }}", "some.txt"),
    ],
)
def test_a_file_that_a_page_is_made_of_and_that_is_not_there_is_one_line(
    template: str,
    missing: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "page.md.j2").write_text(template)
    monkeypatch.setattr("benchmark.reporting.documents.pages.DOCS", tmp_path)
    assert main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("benchmark.reporting.documents: ")
    assert f"{missing} can't be read" in line


@pytest.fixture
def experiment() -> Experiment:
    records = [
        make_record(name, seed, label_fraction=fraction)
        for name in ("scratch", "kd")
        for seed in (0, 1, 2)
        for fraction in (0.1, 1.0)
    ]
    return Experiment("some", Results.of(records))


def test_a_cell_is_what_the_report_prints(experiment: Experiment) -> None:
    few = [
        r for r in experiment.results.records if r.condition.label_fraction == 0.1 and r.run.baseline == "kd"
    ]
    scores = [100 * r.results.scores["test@last"]["top1"] for r in few]
    shown = experiment.cell("kd", "top-1", label_fraction=0.1)
    assert shown == f"{np.mean(scores):.1f} ± {np.std(scores, ddof=1):.1f}"
    assert shown in experiment.table("top-1", "verdict", label_fraction=0.1)
    assert experiment.cell("kd", "top-1", label_fraction=1.0) not in experiment.table(
        "top-1", label_fraction=0.1
    )


@pytest.mark.parametrize(
    ("baseline", "column", "condition", "message"),
    [
        ("kd", "top-1", {}, "2 rows of kd"),
        ("nobody", "top-1", {}, "0 rows of nobody"),
        ("kd", "tpo-1", {"label_fraction": 0.1}, "unknown column of some 'tpo-1'"),
    ],
)
def test_a_template_that_asks_for_what_is_not_there_fails(experiment, baseline, column, condition, message):
    with pytest.raises(UserError, match=message):
        experiment.cell(baseline, column, **condition)


def test_rows_are_compared_with_any_other_row(experiment: Experiment) -> None:
    few = experiment.against("kd", label_fraction=0.1)
    kd, scratch = (
        np.array([100 * each.results.scores["test@last"]["top1"] for each in experiment.results.records
                  if each.condition.label_fraction == 0.1 and each.run.baseline == name])
        for name in ("kd", "scratch")
    )  # fmt: skip
    shown = few.cell("scratch", "difference to KD")
    assert shown.startswith(f"{scratch.mean() - kd.mean():+.1f} [")
    # The other way round it is the same difference, and the report's own.
    turned = [part.strip("[,]") for part in experiment.cell("kd", "difference", label_fraction=0.1).split()]
    assert [float(part.strip("[,]")) for part in shown.split()] == pytest.approx(
        [-float(turned[0]), -float(turned[2]), -float(turned[1])]
    )
    assert few.cell("kd", "difference") == ""
    assert experiment.against("kd", "kd", label_fraction=0.1).table("difference").count("\n") == 2
    with pytest.raises(UserError, match="some: 2 rows of kd under"):
        experiment.against("kd")


def test_methods_are_told_by_their_verdict_and_sorted_by_their_scores() -> None:
    means = {"scratch": 0.50, "kd": 0.70, "fitnet": 0.501, "crd": 0.30, "shuffled_teacher": 0.10}
    records = [
        altered(make_record(name, seed), results={"scores": {LAST: {"top1": mean + 0.001 * seed}}})
        for name, mean in means.items()
        for seed in (0, 1, 2)
    ]
    some = Experiment("some", Results.of(records))
    compared = some.against("scratch")
    assert compared.methods("above") == ["KD"]
    assert compared.methods("below") == ["CRD"]
    assert compared.methods("above", label_fraction=0.5) == []
    longer = [altered(make_record("fsp", seed), condition={"updates": 9000}) for seed in (0, 1, 2)]
    with_longer = Experiment("some", Results.of([*records, *longer]))
    found = {row.baseline for row in with_longer.against("scratch").rows({})}
    assert found == set(means)
    ranked = [line.split("|")[1].strip() for line in some.table("top-1", by="top-1").splitlines()[2:]]
    assert ranked == ["teacher (resnet20)", "KD", "FitNet", "Scratch", "CRD", "Shuffled teacher"]
