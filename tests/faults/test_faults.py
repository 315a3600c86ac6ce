"""The short form of `make faults`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import TINY
from tests.faults.__main__ import compare, run

FEW = (*TINY, "--seeds", "0", "--epochs", "20")


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_grid_that_is_killed_at_random_moments_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    outcome = run(kills=4, seed=1, arguments=FEW, place=tmp_path)
    assert outcome.faults == []
    assert outcome.kills == 4
    assert outcome.runs == 4


def test_what_is_lost_or_left_over_would_be_found(tmp_path: Path) -> None:
    from tests.command import run as command

    for name in ("whole", "hurt"):
        assert command(tmp_path / name, baselines=("scratch", "kd")) == 0
    assert compare(tmp_path / "hurt", tmp_path / "whole") == []
    (one, other) = sorted((tmp_path / "hurt" / "t" / "runs").iterdir())
    (one / "record.json").unlink()
    (other / "snapshot.pt").touch()
    (other.parent / "a.lock").touch()
    assert len(compare(tmp_path / "hurt", tmp_path / "whole")) == 3
