"""The wheel: one package, installed where there is no checkout; it lists, trains, reports and is imported."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from benchmark import __version__
from benchmark.records import read_record
from tests.packaging.commands import command
from tests.test_cli import PLUGIN

GRID = (
    *("--tasks", "compression", "--seeds", "0", "--epochs", "1", "--teacher-epochs", "1"),
    *(
        "--train-samples",
        "100",
        "--teacher-samples",
        "200",
        "--no-probes",
        "--results-dir",
        "out",
        "--name",
        "t",
    ),
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("wheel")]


def test_it_holds_one_package_and_its_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
    assert {name.split("/")[0] for name in names} == {"wcord_bench", f"wcord_bench-{__version__}.dist-info"}
    for part in (
        "py.typed",
        "benchmark/reporting/page/page.html",
        "benchmark/reporting/page/page.css",
        "benchmark/reporting/page/charts.js",
        "baselines/catalogue.json",
        "baselines/losses.py",
        "tasks/synthetic/rendering/solids.py",
        "results/reported/cifar100.csv",
        "results/reported/wcord.yaml",
    ):
        assert f"wcord_bench/{part}" in names
    assert not [name for name in names if "test" in name.split("/")[1] or "reference/" in name]


def test_the_command_lists_trains_and_reports(installed: Path) -> None:
    program = installed / "venv" / "bin" / "wcord-bench"
    assert "Headline set" in command(program, "--list", cwd=installed)
    assert command(program, "--version", cwd=installed) == f"wcord-bench {__version__}\n"
    assert "wcord-bench: unknown baseline 'kdd'" in command(
        program, "--baselines", "kdd", cwd=installed, fails=True
    )
    (installed / "mine.py").write_text(PLUGIN)
    trained = command(
        program, *GRID, "--baselines", "scratch", "kd", "my_method", "--plugin", "mine.py", cwd=installed
    )
    assert "report.html" in trained
    files = sorted((installed / "out" / "t" / "runs").glob("*/record.json"))
    found = [record for record in map(read_record, files) if record is not None]
    assert [record.run.baseline for record in found] == ["kd", "my_method", "scratch"]
    for record in found:
        assert record.status == "finished"
        assert (record.provenance.commit, record.provenance.clean) == (None, None)
        assert record.provenance.command.startswith("wcord-bench --tasks compression")
        assert record.provenance.versions["wcord-bench"] == __version__
    papers = command(
        program, "--report-only", "--figures", "paper", "--results-dir", "out", "--name", "t", cwd=installed
    )
    assert "2012.08674" in papers
    assert "missing: wcord-bench --" in papers


def test_it_is_a_library(installed: Path) -> None:
    python = installed / "venv" / "bin" / "python"
    code = (
        "from wcord_bench import run, Settings, Distiller, __version__; import benchmark; "
        f"assert benchmark.run is run and __version__ == {__version__!r}; "
        "from pathlib import Path; "
        "results = run(Settings(tasks=('compression',), baselines=('scratch',), seeds=(0,), epochs=1, "
        "teacher_epochs=1, train_samples=100, teacher_samples=200, probes=False, report=False, "
        "results_dir=Path('out'), name='library')); "
        "print({record.status for record in results.records if record.run.baseline == 'scratch'}.pop())"
    )
    assert command(python, "-c", code, cwd=installed).rstrip().splitlines()[-1] == "finished"
    loss = (
        "import wcord_bench, torch; from baselines import losses; from benchmark import Activations; "
        "shown = Activations(torch.zeros(2, 3), torch.zeros(2, 4)); "
        "print(losses.criterion('kd', teacher=shown, student=shown)(shown, shown, None, progress=0.0).item())"
    )
    assert command(python, "-c", loss, cwd=installed).strip() == "0.0"
    assert "unknown" in command(python, "-m", "wcord_bench", "--tasks", "nothing", cwd=installed, fails=True)


def test_no_name_is_taken_until_it_is_imported_and_a_taken_one_is_refused(installed: Path) -> None:
    python = installed / "venv" / "bin" / "python"
    assert "No module named 'benchmark'" in command(
        python, "-c", "import benchmark", cwd=installed, fails=True
    )
    own = installed / "own"
    own.mkdir(exist_ok=True)
    (own / "tasks.py").write_text("MINE = True\n")
    assert command(python, "-c", "import tasks; print(tasks.MINE)", cwd=own).strip() == "True"
    refused = command(python, "-c", "import tasks, wcord_bench", cwd=own, fails=True)
    assert "needs the module name 'tasks', which this process has imported from" in refused
    twice = command(python, "-c", "import wcord_bench, wcord_bench.benchmark.errors", cwd=own, fails=True)
    assert "import benchmark instead of wcord_bench.benchmark" in twice
