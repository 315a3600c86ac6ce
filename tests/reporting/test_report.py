"""The report of a results folder as a whole, and the command that makes it."""

import io
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from benchmark.errors import UserError
from benchmark.records import Metric, Record, Results
from benchmark.reporting import report
from tests.reporting.fake_records import few_records, make_record, write_run

ROOT = Path(__file__).resolve().parents[2]


def run_report(folder, width=200):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    return report(folder, console), console.file.getvalue()


@pytest.fixture
def small(tmp_path):
    folder = tmp_path / "results" / "demo"
    for record in few_records():
        write_run(folder, record)
    return folder


def test_the_report_writes_everything_and_says_what_it_wrote(small):
    paths, text = run_report(small)
    relative = {str(path.relative_to(small)) for path in paths}
    assert {"records.parquet", "records.csv", "figures/compression_comparison.png"} <= relative
    assert {"report.html", "tables/comparisons.csv"} <= relative
    for task in ("compression", "cross_modal"):
        assert {f"tables/{task}.{ending}" for ending in ("csv", "md", "tex", "txt")} <= relative
    assert all(path.stat().st_size > 0 for path in paths)
    assert all(f"wrote {path}" in text for path in paths)
    assert len(pd.read_parquet(small / "records.parquet")) == len(pd.read_csv(small / "records.csv")) == 3


def test_each_problem_is_one_printed_line_however_narrow_the_terminal(tmp_path):
    write_run(tmp_path, make_record())
    for name in ("a-run-that-was-stopped-11111111", "another-run-that-was-stopped-22222222"):
        (tmp_path / "runs" / name).mkdir()
    _, text = run_report(tmp_path, width=40)
    lines = [line for line in text.splitlines() if line.startswith("problem: ")]
    assert [name in line for name, line in zip(("11111111", "22222222"), lines, strict=True)] == [True, True]
    assert all(line.endswith("not finished (no record.json)") for line in lines)


def test_without_records_the_user_gets_one_line_with_a_remedy(tmp_path):
    with pytest.raises(UserError, match="holds no finished run") as caught:
        run_report(tmp_path / "nothing")
    assert "\n" not in str(caught.value)


def test_a_sparse_record_is_reported_without_its_optional_parts(tmp_path):
    full = make_record()
    path = write_run(
        tmp_path,
        Record(
            full.id,
            full.run,
            full.condition,
            "finished",
            metrics={"loss": Metric("Loss", "loss", "min")},
            results=Results({"test@last": {"loss": 0.5}}),
        ),
    )
    (path / "history.jsonl").unlink()
    paths, text = run_report(tmp_path)
    assert "0.500" in text
    assert f"{path.name}: no history.jsonl" in text
    assert (tmp_path / "figures" / "compression_comparison.png") in paths


WITHOUT_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "torchaudio", "lightning_fabric", "torchmetrics"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NoTorch())
from benchmark.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_the_command_reports_in_an_environment_without_torch(small):
    root = Path(__file__).resolve().parents[2]
    command = ["--report-only", "--figures", "paper", "--results-dir", str(small.parent), "--name", "demo"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *command], cwd=root, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    assert (small / "report.html").exists()
    assert "missing: python run_all.py" in done.stdout


@pytest.mark.timeout(200)
def test_two_reports_of_one_folder_at_once_leave_whole_files(small):
    code = "import io, sys; from pathlib import Path; from rich.console import Console\n"
    code += "from benchmark.reporting import report\nreport(Path(sys.argv[1]), Console(file=io.StringIO()))"
    both = [subprocess.Popen([sys.executable, "-c", code, str(small)], cwd=ROOT) for _ in range(2)]
    assert [process.wait(timeout=180) for process in both] == [0, 0]
    written = [file for file in small.rglob("*") if file.is_file() and "runs" not in file.parts]
    assert not [file for file in written if file.name.startswith(".")], "a temporary file is left"
    pictures = [file for file in written if file.suffix == ".png"]
    assert pictures
    for file in pictures:
        with Image.open(file) as picture:
            picture.load()
    assert len(pd.read_parquet(small / "records.parquet")) == len(pd.read_csv(small / "records.csv")) == 3
    assert (small / "report.html").read_text().rstrip().endswith("</html>")
