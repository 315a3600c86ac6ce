"""Pairs of the privileged task, by dataset: what the teacher sees, and what the student."""

from __future__ import annotations

from dataclasses import replace

from benchmark import Pair, Recipe

SHORT = Recipe(
    epochs=30,
    batch_size=32,
    optimizer="adamw",
    learning_rate=0.01,
    weight_decay=0.01,
    schedule="cosine",
    warmup=0.05,
)
"""For short trainings: the rate falls along a cosine, whatever the number of epochs."""

DRAWN = replace(SHORT, batch_size=16, learning_rate=7e-3)
"""For the embedded motions: scratch students learn more from twice the updates than from twice the batch."""

NETWORKS = {
    (("skeleton", "video"), ("video",)): ("fusion_8", "conv3d_8"),
    (("skeleton", "audio"), ("audio",)): ("fusion_8", "conv1d_8"),
    (("skeleton", "audio", "video"), ("video",)): ("fusion_8", "conv3d_8"),
}
"""Modalities of teacher and student -> their networks. The student's stand last in the teacher's: its maps
are those on the grid of its last input."""


def motions() -> dict[str, Pair]:
    """Pair name -> pair, for the embedded motions."""
    return {
        f"{'+'.join(teacher_sees)}-{'+'.join(student_sees)}": Pair(
            teacher, student, DRAWN, DRAWN, teacher_sees, student_sees
        )
        for (teacher_sees, student_sees), (teacher, student) in NETWORKS.items()
    }


MOTION = replace(SHORT, epochs=60, learning_rate=3e-3)
"""The rate that scratch students learn best with when each training subject is left out in turn (UTD-MHAD:
1, 3, 5, 7; the inertial student of width 16 over 60 epochs, three seeds)."""

WORN, CLIPS = replace(MOTION, epochs=30), replace(MOTION, epochs=40)
"""Chosen with the networks on the same folds: docs/datasets.md."""


def utd_mhad() -> dict[str, Pair]:
    """Pair name -> pair, for UTD-MHAD."""
    return {
        "skeleton+inertial-inertial": Pair(
            "fusion_64", "conv1d_64", WORN, WORN, ("skeleton", "inertial"), ("inertial",)
        ),
        "skeleton+inertial-accelerometer": Pair(
            "fusion_64", "conv1d_64", WORN, WORN, ("skeleton", "inertial"), ("accelerometer",)
        ),
        "skeleton+depth-depth": Pair(
            "fusion_16", "conv3d_8", CLIPS, CLIPS, ("skeleton", "depth"), ("depth",)
        ),
    }


def ntu() -> dict[str, Pair]:
    """Pair name -> pair, for NTU RGB+D: the student sees what sensors on both wrists would."""
    recipe = replace(MOTION, batch_size=64)
    return {"skeleton-wrists": Pair("conv1d_64", "conv1d_16", recipe, recipe, ("skeleton",), ("wrists",))}


RECIPE = Recipe(epochs=60, batch_size=32, learning_rate=0.05, nesterov=True, schedule="cosine", warmup=0.05)


def video_folder() -> dict[str, Pair]:
    """Pair name -> pair, for folders of videos: the teacher also sees the motion, or also hears the sound."""
    return {
        f"{privileged}+video-video": Pair(
            "fusion_16", "conv3d_16", RECIPE, RECIPE, (privileged, "video"), ("video",)
        )
        for privileged in ("flow", "audio")
    }


def pairs(dataset: str) -> dict[str, Pair]:
    """Pair name -> pair of a dataset."""
    makers = {"motions": motions, "ntu": ntu, "video_folder": video_folder}
    return makers.get(dataset, utd_mhad)()
