"""Architectures from a file: any classifier of images is a student, or a teacher, in a few lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmark import architecture
from benchmark.cli import main
from benchmark.models import Network, build
from benchmark.records import read_record

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("pair", ["conv2d_8-my_net", "my_net-conv2d_4"])
def test_the_documented_file_trains_as_student_and_as_teacher(
    pair: str, tmp_path: Path, few_shapes: None
) -> None:
    page = (ROOT / "docs" / "adding_an_architecture.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "my_net.py"
    file.write_text(example)
    small = "--epochs 1 --teacher-epochs 1 --train-samples 64 --teacher-samples 64 --seeds 0 --no-probes"
    places = ["--plugin", str(file), "--results-dir", str(tmp_path), "--name", "t", "--pairs", pair]
    base = ["--tasks", "compression", "--baselines", "kd", "crd"]
    assert main([*base, *places, *small.split()]) == 0
    found = [read_record(path) for path in (tmp_path / "t" / "runs").glob("*/record.json")]
    assert len(found) == 2
    assert all(record is not None and record.status == "finished" for record in found)


def test_a_plain_module_shows_its_embedding_and_its_maps() -> None:
    @architecture("a_plain_module")
    def make(shapes, num_classes):
        layers = [nn.Conv2d(shapes[0][0], 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, num_classes))

    network = build("a_plain_module", [(3, 8, 8)], 5, ("rgb",)).eval()
    assert isinstance(network, Network)
    shown = network({"rgb": torch.randn(2, 3, 8, 8)})
    assert shown.logits.shape == (2, 5)
    assert shown.embedding.shape == (2, 16)
    assert [tuple(each.shape[1:]) for each in shown.maps] == [(8, 8, 8), (16, 4, 4)]
    assert torch.equal(network.predict({"rgb": torch.randn(2, 3, 8, 8)})[0].isfinite(), torch.ones(2, 5) > 0)


def test_a_name_that_another_file_has_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'resnet8' is registered twice: in .*shared\.py and"):
        architecture("resnet8")(lambda shapes, num_classes: nn.Flatten())
