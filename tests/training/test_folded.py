"""Teachers whose norms are folded teach what they would as they are, whoever learns from them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.command import numbers, records, run, weights
from tests.tiny_task import TinyTask, _pair

NAMES = ("scratch", "kd", "at", "simkd", "wcord", "ft")
"""None; logits; maps; its classifier; embeddings; a first stage."""


def test_what_is_learnt_from_a_folded_teacher_is_what_it_teaches_as_it_is(tmp_path: Path) -> None:
    for name, more in (("plain", ()), ("folded", ("--fold",))):
        # On the CPU: a GPU's TF32 has ten bits of a product.
        assert run(tmp_path / name, "--epochs", "2", "--device", "cpu", *more, baselines=NAMES) == 0
    plain, folded = records(tmp_path / "plain"), records(tmp_path / "folded")
    assert plain.keys() == folded.keys()
    for slug, record in folded.items():
        scratch = record.run.baseline == "scratch"
        assert record.status == "finished"
        assert record.measurements.folded == (not scratch)
        assert not plain[slug].measurements.folded
        assert record.teacher == plain[slug].teacher, "what is said of the teacher is of its network as it is"
        ours, theirs = weights(tmp_path / "folded", slug), weights(tmp_path / "plain", slug)
        for key, value in theirs.items():
            torch.testing.assert_close(ours[key], value, rtol=1e-3, atol=1e-4)
        assert scratch == all(torch.equal(ours[key], value) for key, value in theirs.items())


def test_company_changes_no_bit_of_it(tmp_path: Path) -> None:
    assert run(tmp_path / "alone", "--fold", baselines=("kd",)) == 0
    assert run(tmp_path / "together", "--fold", baselines=NAMES) == 0
    together = records(tmp_path / "together")
    for slug, record in records(tmp_path / "alone").items():
        assert numbers(record) == numbers(together[slug])
        assert record.files == together[slug].files


def test_a_teacher_without_such_norms_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TinyTask, "pairs", lambda task, dataset: {"plain": _pair("tiny_small", "tiny_plain")})
    assert run(tmp_path, "--pairs", "plain", "--fold", baselines=("kd",)) == 0
    assert "--fold: the teacher is computed as it is" in capsys.readouterr().out
    assert not any(record.measurements.folded for record in records(tmp_path).values())
