"""The command line, the file and the preset."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.settings import Settings, parse


@pytest.mark.parametrize(
    "arguments",
    [
        "--set kd.weight=1 crd.weight=2",
        "--set kd.weight=1 --set crd.weight=2",
        "--set=kd.weight=1 --set=crd.weight=2",
    ],
)
def test_a_list_may_be_given_at_once_or_piece_by_piece(arguments: str) -> None:
    settings = parse([*arguments.split(), "--epochs", "3", "--dry-run"])
    assert settings.set == ("kd.weight=1", "crd.weight=2")
    assert (settings.epochs, settings.dry_run) == (3, True)


def test_every_flag_that_is_promised_is_there() -> None:
    promised = """
        tasks datasets folds pairs baselines seeds preset epochs batch_size train_samples label_fraction
        validation split_seeds tune teacher_data teacher_epochs teacher_samples teacher_seeds
        teacher_checkpoint
        data_dir bad_samples probes corruptions results_dir report name device jobs precision set
        config plugin download list dry_run verbose report_only figures
    """
    assert set(promised.split()) == set(Settings.__dataclass_fields__)


def test_a_file_may_say_anything_that_the_command_line_may(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(
        "tasks: [compression]\nlabel-fraction: 0.5\nseeds: [3, 4]\npreset: standard\ndry_run: true\n"
        "set:\n  kd: {temperature: 2}\n  recipe.epochs: 7\n"
    )
    settings = parse(["--config", str(file)])
    assert (settings.tasks, settings.label_fraction, settings.seeds) == (("compression",), 0.5, (3, 4))
    assert (settings.preset, settings.dry_run) == ("standard", True)
    assert settings.set == ("kd.temperature=2", "recipe.epochs=7")
