"""Hyper-parameters that methods' authors give for the pairs of the CRD benchmark, with where they stand.

Not taken over are MLKD's rates and epochs (0.025 or 0.01; 240 to 960): every row trains by one recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark import PublishedSettings

Key = tuple[str, str]
"""Teacher and student."""

DKD_WEIGHTS: dict[Key, float] = {
    ("resnet56", "resnet20"): 2.0,
    ("resnet110", "resnet32"): 2.0,
    ("resnet32x4", "resnet8x4"): 8.0,
    ("wrn_40_2", "wrn_16_2"): 6.0,
    ("wrn_40_2", "wrn_40_1"): 6.0,
    ("vgg13", "vgg8"): 6.0,
    ("vgg13", "MobileNetV2"): 6.0,
    ("ResNet50", "MobileNetV2"): 8.0,
    ("resnet32x4", "ShuffleV1"): 8.0,
    ("resnet32x4", "ShuffleV2"): 8.0,
    ("wrn_40_2", "ShuffleV1"): 8.0,
}
"""The weight of DKD's second term; SDD's two forms on top of it read the same numbers."""

SDD_LEVELS: dict[Key, int] = {
    ("resnet32x4", "resnet8x4"): 2,
    ("vgg13", "vgg8"): 2,
    ("vgg13", "MobileNetV2"): 3,
    ("ResNet50", "MobileNetV2"): 3,
    ("resnet32x4", "ShuffleV1"): 3,
    ("resnet32x4", "ShuffleV2"): 3,
    ("wrn_40_2", "ShuffleV1"): 3,
}
"""How many grids of regions (1, 2 or 4 an axis) SDD takes."""

REVIEWKD_WEIGHTS: dict[Key, float] = {
    ("resnet56", "resnet20"): 0.6,
    ("resnet110", "resnet32"): 1.0,
    ("resnet32x4", "resnet8x4"): 5.0,
    ("wrn_40_2", "wrn_16_2"): 5.0,
    ("wrn_40_2", "wrn_40_1"): 5.0,
    ("resnet32x4", "ShuffleV1"): 5.0,
    ("resnet32x4", "ShuffleV2"): 8.0,
    ("wrn_40_2", "ShuffleV1"): 5.0,
}

CAT_KD: dict[Key, tuple[float, bool, int]] = {
    ("resnet56", "resnet20"): (0.7, False, 2),
    ("resnet110", "resnet32"): (1.8, False, 2),
    ("resnet32x4", "resnet8x4"): (15.0, False, 2),
    ("wrn_40_2", "wrn_16_2"): (12.0, False, 2),
    ("wrn_40_2", "wrn_40_1"): (1.5, False, 2),
    ("vgg13", "vgg8"): (4.5, False, 2),
    ("vgg13", "MobileNetV2"): (15.0, True, 2),
    ("ResNet50", "MobileNetV2"): (40.0, True, 2),
    ("resnet32x4", "ShuffleV1"): (600.0, True, 4),
    ("resnet32x4", "ShuffleV2"): (600.0, True, 4),
    ("wrn_40_2", "ShuffleV1"): (80.0, True, 4),
}
"""Weight, whether maps are normalised, and the grid that they are averaged to."""

WKD: dict[Key, dict[str, dict[str, Any]]] = {
    ("resnet32x4", "resnet8x4"): {
        "wkd_l": {"weight": 600.0, "temperature": 8.0},
        "wkd_f": {"weight": 0.006, "ratio": 4.0, "grid": 1},
        "wkd_l+wkd_f": {
            "wkd_l.weight": 200.0,
            "wkd_l.temperature": 8.0,
            "wkd_f.weight": 0.08,
            "wkd_f.ratio": 8.0,
            "wkd_f.grid": 1,
        },
    },
    ("wrn_40_2", "ShuffleV1"): {
        "wkd_l": {"weight": 200.0, "temperature": 6.0},
        "wkd_f": {"weight": 0.3, "ratio": 3.0, "grid": 4},
        "wkd_l+wkd_f": {
            "wkd_l.weight": 60.0,
            "wkd_l.temperature": 4.0,
            "wkd_f.weight": 0.5,
            "wkd_f.ratio": 3.0,
            "wkd_f.grid": 4,
        },
    },
}

LS_KD: dict[Key, tuple[float, float]] = {
    ("resnet110", "resnet20"): (4.0, 12.0),
    ("vgg13", "vgg8"): (3.0, 9.0),
    ("vgg13", "MobileNetV2"): (3.0, 9.0),
    ("ResNet50", "MobileNetV2"): (3.0, 1.0),
}
"""Temperature and weight, by the names of the logs that the authors published; 2 and 9 for other pairs."""

ASSISTANTS: dict[Key, str] = {
    ("resnet56", "resnet20"): "resnet32",
    ("resnet110", "resnet20"): "resnet44",
    ("resnet110", "resnet32"): "resnet56",
    ("vgg13", "vgg8"): "vgg11",
    ("resnet56", "resnet8"): "resnet20",
    ("resnet20", "resnet8"): "resnet14",
    ("conv2d_32", "conv2d_8"): "conv2d_16",
}


def published(teacher: str, student: str) -> Mapping[str, PublishedSettings]:
    """Baseline -> its settings for a pair; those that no repository tells are the baseline's defaults."""
    key, found = (teacher, student), {}

    def add(baseline: str, source: str, **values: Any) -> None:
        found[baseline] = PublishedSettings(values, source)

    if key in DKD_WEIGHTS:
        weight, levels = DKD_WEIGHTS[key], {"levels": SDD_LEVELS[key]} if key in SDD_LEVELS else {}
        add("dkd", "mdistiller, configs", nckd_weight=weight)
        add("sdd_dkd", "SDD, configs and scripts", nckd_weight=weight, **levels)
        add("sdd_nkd", "SDD, configs and scripts", rest_weight=weight, **levels)
        if levels:
            add("sdd_kd", "SDD, scripts", **levels)
    if key in REVIEWKD_WEIGHTS:
        add("reviewkd", "ReviewKD, script", weight=REVIEWKD_WEIGHTS[key])
    if key in CAT_KD:
        weight, normalize, resolution = CAT_KD[key]
        add("cat_kd", "CAT-KD, configs", weight=weight, normalize=normalize, resolution=resolution)
    if key in LS_KD:
        temperature, weight = LS_KD[key]
        add("logit_standardization", "LS-KD, logs", temperature=temperature, weight=weight)
    for baseline, values in WKD.get(key, {}).items():
        add(baseline, "WKD, configs", **values)
    if key == ("wrn_40_2", "wrn_16_2"):
        add("itrd", "ITRD, README", mutual_weight=1.0, alpha=1.01)
    if key in ASSISTANTS:
        add("takd", "ours: the size between", assistant=ASSISTANTS[key])
    return found
