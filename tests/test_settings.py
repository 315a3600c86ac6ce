"""The command line, the file and the preset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import UserError
from benchmark.settings import Settings, arguments_of, parse


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
        data_dir bad_samples memory_gb num_workers
        probes corruptions results_dir report name device jobs devices nodes batch_norm precision fuse graphs
        fold set executor ray_address slurm shard snapshot_minutes estimate config plugin download list
        dry_run verbose report_only figures
    """
    assert set(promised.split()) == set(Settings.__dataclass_fields__)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "--tasks compression --seeds 3 4 --no-probes --set kd.weight=2 recipe.milestones=[0.5,0.75]",
        "--corruptions --label-fraction 0.1 --teacher-data disjoint --data-dir some/where --no-report",
        "--executor slurm --jobs 4 --slurm partition=gpu time=4:00:00 --snapshot-minutes 2.5",
    ],
)
def test_settings_as_a_command_line_are_the_same_settings(line: str) -> None:
    settings = parse(line.split())
    assert parse(arguments_of(settings)) == settings


@pytest.mark.parametrize(
    "shard", ["0/4", "5/4", "1", "1/", "/2", "1/0", "-1/2", "1/2/3", "a/b", "٣/٤", "1/9" + "9" * 5000]
)
def test_a_shard_is_a_number_out_of_so_many(shard: str) -> None:
    with pytest.raises(UserError, match=r"--shard .*such as 1/4"):
        parse(["--shard", shard])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--estimate", "--dry-run or --figures"),
        ("--verbose", "goes with --dry-run"),
        ("--verbose --list", "goes with --dry-run"),
        ("--slurm partition=gpu", "--executor slurm"),
        ("--ray-address auto", "--executor ray"),
        ("--shard 1/2 --executor ray", "divides it itself"),
        ("--devices 2 --jobs 2", "give one of them"),
        ("--devices 2 --executor ray", "leave out --devices"),
        ("--devices 2 --device cuda:1", "give cuda"),
        ("--nodes 2", "NODE_RANK"),
        ("--nodes 2 --executor slurm", "one machine"),
        ("--devices 0", "from 1 up"),
        ("--batch-norm sync --device cpu", "give rank"),
        ("--snapshot-minutes -1", "from 0 up"),
        ("--memory-gb 0", "above 0"),
        ("--num-workers -1", "from 0 up to"),
    ],
)
def test_flags_that_do_not_go_together_are_told(line: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        parse(line.split())


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"tasks": "compression"}, "tasks 'compression': give a tuple, such as ('compression',)"),
        ({"seeds": 0}, "seeds 0: give a tuple, such as (0,)"),
        ({"set": {"kd.weight": 2}}, "set {'kd.weight': 2}: give a tuple, such as ('kd.weight=2',)"),
        ({"seeds": ("0",)}, "seeds ('0',): Expected `int`, got `str`"),
        ({"epochs": "3"}, "epochs '3': Expected `int | null`, got `str`"),
        ({"results_dir": "out"}, "results_dir 'out': Expected `Path`, got `str`"),
    ],
)
def test_values_of_another_type_are_named_to_a_caller_from_python(given: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as refusal:
        Settings(**given)
    assert str(refusal.value).startswith(told)


@pytest.mark.parametrize("report", ["--report-only", "--figures paper"])
@pytest.mark.parametrize(
    "grid",
    [
        "--jobs 8 --slurm partition=gpu gres=gpu:1 time=4:00:00",
        "--jobs 8 --devices 4 --slurm partition=gpu",
        "--executor slurm --jobs 8 --slurm partition=gpu",
        "--ray-address auto",
        "--nodes 2 --devices 4",
        "--shard 3/8",
    ],
)
def test_a_report_goes_along_with_the_options_of_its_grid(grid: str, report: str) -> None:
    assert parse([*grid.split(), *report.split()]).reports


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


@pytest.mark.parametrize("name", ["dry_run", "fuse", "probes"])
def test_what_a_file_switches_on_may_be_given_as_a_flag_too(name: str, tmp_path: Path) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text(f"{name}: true\nseeds: [3, 4]")
    for spelt in (name, name.replace("_", "-")):
        settings = parse(["--config", str(file), f"--{spelt}", "--epochs", "2"])
        assert getattr(settings, name)
        assert (settings.epochs, settings.seeds) == (2, (3, 4))
