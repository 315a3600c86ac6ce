"""What the ledger of a results folder says."""

from pathlib import Path

from benchmark.plugins import Registry
from benchmark.running.ledger import Ledger


def test_ten_folders_of_other_code_are_named_and_the_rest_counted(tmp_path: Path, registry: Registry) -> None:
    ledger, said = Ledger(tmp_path, registry), []
    ledger._outdated = {("mine", tmp_path / "runs"): {f"run-{number:02}" for number in range(12)}}
    ledger.tell(said.append)
    (line,) = said
    assert "mine: 12 of the records" in line
    assert line.endswith(": " + ", ".join(f"run-{number:02}" for number in range(10)) + " and 2 more")
