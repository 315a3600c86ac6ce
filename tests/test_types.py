"""Types: pyright, in basic mode, finds nothing in the engine and the tasks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_pyright_finds_no_error_in_the_engine_and_the_tasks() -> None:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable],
            cwd=ROOT, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        found = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        pytest.skip("pyright can't run here: it did not end within five minutes (it fetches itself once)")
    except ValueError:
        pytest.skip(f"pyright can't run here: {(done.stderr.strip().splitlines() or ['no output'])[-1]}")
    assert found["summary"]["filesAnalyzed"] > 100
    errors = [
        f"{Path(each['file']).relative_to(ROOT)}:{each['range']['start']['line'] + 1}: {each['message']}"
        for each in found["generalDiagnostics"]
        if each["severity"] == "error"
    ]
    assert errors == []
