"""Every registered baseline in training: it finishes or says why not, and its numbers are its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.plugins import load
from tests.command import numbers, records, run

NAMES = tuple(load().baselines)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_in_one_cohort_and_in_two_all_baselines_give_the_same_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--label-fraction", "0.3", "--seeds", "0")
    assert run(tmp_path / "one", *options, baselines=NAMES) == 0
    assert "no gradient came of it" not in capsys.readouterr().out
    for half in (NAMES[1::2][::-1], NAMES[::2]):
        # Beside each: what first stages of either half are compared with is trained as long as they are.
        assert run(tmp_path / "two", *options, baselines=tuple(dict.fromkeys((*half, "scratch")))) == 0
    together, apart = records(tmp_path / "one"), records(tmp_path / "two")
    assert together.keys() == apart.keys()
    assert {slug.split("-seed")[0].rsplit("-", 1)[-1] for slug in together} >= set(NAMES)
    for slug, record in together.items():
        assert record.status in ("finished", "not_applicable"), (slug, record.reason)
        assert numbers(record) == numbers(apart[slug]), slug
    unsuited = [slug for slug, record in together.items() if record.status == "not_applicable"]
    assert all(together[slug].reason for slug in unsuited)
    assert len(unsuited) < len(NAMES) / 4
