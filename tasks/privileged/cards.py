"""The datasets of the privileged task: embedded motions, UTD-MHAD, NTU RGB+D, folders of videos."""

from __future__ import annotations

from pathlib import Path

from benchmark import DatasetCard, Request, deferred
from benchmark.data.locating import Listed, candidate_folders, class_folders, not_found

MOTIONS = {"skeleton": (45, 32), "video": (2, 12, 20, 16), "audio": (24, 32)}

SUBJECTS = tuple(range(1, 9))
CROSS_SUBJECT = "cross_subject"
TRAINING_SUBJECTS = (1, 3, 5, 7)
UTD_MHAD_FOLDS = {
    CROSS_SUBJECT: (TRAINING_SUBJECTS, tuple(each for each in SUBJECTS if each not in TRAINING_SUBJECTS)),
    **{f"leave_out_{out}": (tuple(each for each in SUBJECTS if each != out), (out,)) for out in SUBJECTS},
    **{
        f"inner_{out}": (tuple(each for each in TRAINING_SUBJECTS if each != out), (out,))
        for out in TRAINING_SUBJECTS
    },
}
"""Fold -> subjects that train, subjects that test. The inner folds divide the training subjects of
cross_subject alone, for choices that its test subjects must have no part in (nested cross-validation)."""
UTD_MHAD_LAYOUT = (
    "utd_mhad/Depth/a*_s*_t*_depth.mat with Inertial/a*_s*_t*_inertial.mat and "
    "Skeleton/a*_s*_t*_skeleton.mat beside it"
)
STEPS = {"utd_mhad": 2, "utd_mhad_64": 1}
"""Dataset -> how many decoded frames, rows and columns make one: the fine clips ask for a GPU."""

UTD_MHAD_SENSORS = ("depth", "inertial", "skeleton")
UTD_MHAD_LENGTH = 128
"""Time steps of the one-dimensional modalities; a clip has 41 to 125 skeletons and 107 to 326 readings."""

UTD_MHAD_JOINTS = 20
DEPTH_FRAMES, DEPTH_SIDE = 32, 64

NTU_LENGTH = 64
"""Time steps of the modalities; most sequences have 50 to 150 frames."""

NTU_JOINTS = 25
NTU_FOLDS = ("cross_subject", "cross_view")
NTU_FOLDERS = ("", "nturgb+d_skeletons", "nturgbd_skeletons", "skeletons")
NTU_LAYOUT = (
    "ntu/SsssCcccPpppRrrrAaaa.skeleton (or in ntu/nturgb+d_skeletons/, as the archive unpacks), "
    "such as S001C001P001R001A001.skeleton"
)

FRAMES, SIDE = 16, 64
VIDEO_LAYOUTS = (
    "train/<class>/*.mp4 with test/<class>/*.mp4 (or val/, validation/), or <class>/*.mp4 alone (avi, mkv, "
    "mov, webm too); sound in the videos, or <video's name>.wav beside them"
)
VIDEOS = {"video": (3, FRAMES, SIDE, SIDE), "flow": (2, FRAMES, SIDE, SIDE), "audio": (64, 128)}
SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm")


def cards() -> dict[str, DatasetCard]:
    """Dataset name -> card."""
    motions = deferred("tasks.privileged.motions", "load")
    return {
        "motions": DatasetCard("Motions, 12 actions", motions, synthetic=True, shapes=MOTIONS),
        **{name: _utd_mhad(name, step) for name, step in STEPS.items()},
        "ntu": DatasetCard(
            "NTU RGB+D skeletons",
            deferred("tasks.privileged.ntu", "load"),
            synthetic=False,
            requires=NTU_LAYOUT,
            folds=NTU_FOLDS,
            shapes=ntu_shapes(),
            files=lambda request: sorted(ntu_folder(request).glob("*.skeleton")),
        ),
        "video_folder": DatasetCard(
            "Videos of a folder",
            deferred("tasks.privileged.video_folder", "load"),
            synthetic=False,
            requires=VIDEO_LAYOUTS,
            shapes=VIDEOS,
            files=video_files,
        ),
    }


def _utd_mhad(name: str, step: int) -> DatasetCard:
    fine = f"UTD-MHAD, depth {DEPTH_FRAMES} x {DEPTH_SIDE} x {DEPTH_SIDE}"
    return DatasetCard(
        "UTD-MHAD" if step > 1 else fine,
        deferred("tasks.privileged.utd_mhad", "load", name),
        synthetic=False,
        requires=UTD_MHAD_LAYOUT,
        folds=tuple(UTD_MHAD_FOLDS),
        shapes=utd_mhad_shapes(step),
        files=lambda request: utd_mhad_files(utd_mhad_folder(request)),
    )


def utd_mhad_shapes(step: int) -> dict[str, tuple[int, ...]]:
    """Modality -> shape, where `step` decoded frames, rows and columns make one."""
    return {
        "skeleton": (2 * 3 * UTD_MHAD_JOINTS, UTD_MHAD_LENGTH),
        "inertial": (6, UTD_MHAD_LENGTH),
        "accelerometer": (3, UTD_MHAD_LENGTH),
        "depth": (1, *(size // step for size in (DEPTH_FRAMES, DEPTH_SIDE, DEPTH_SIDE))),
    }


def subfolder(folder: Path, modality: str) -> Path:
    """Where a dataset in `folder` has the files of a modality."""
    return folder / modality.capitalize()


def utd_mhad_folder(request: Request) -> Path:
    """The folder with the three sensors' folders. Raises UserError where there is none of them."""
    for folder in candidate_folders(request.data_dir, "utd_mhad", UTD_MHAD_LAYOUT):
        if any(subfolder(folder, sensor).is_dir() for sensor in UTD_MHAD_SENSORS):
            return folder
    raise not_found(request.data_dir, "utd_mhad", UTD_MHAD_LAYOUT)


def utd_mhad_files(folder: Path) -> list[Path]:
    """The MAT files of all sensors."""
    return [file for sensor in UTD_MHAD_SENSORS for file in subfolder(folder, sensor).glob("*.mat")]


def ntu_shapes() -> dict[str, tuple[int, ...]]:
    """Modality -> shape."""
    return {"skeleton": (2 * 3 * NTU_JOINTS, NTU_LENGTH), "wrists": (6, NTU_LENGTH)}


def ntu_folder(request: Request) -> Path:
    """The folder with the skeleton files. Raises UserError where there is none."""
    for root in candidate_folders(request.data_dir, "ntu", NTU_LAYOUT):
        for folder in (root / name for name in NTU_FOLDERS):
            if next(folder.glob("*.skeleton"), None) is not None:
                return folder
    raise not_found(request.data_dir, "ntu", NTU_LAYOUT)


def class_videos(request: Request) -> tuple[Path, tuple[Listed, Listed]]:
    """A folder with class folders of videos: its training and its test files. Raises UserError without one.

    Clips in folders below a class are not looked for: the class may be the folder of a whole dataset.
    """
    for folder in candidate_folders(request.data_dir, "video_folder", VIDEO_LAYOUTS):
        if (splits := class_folders(folder, SUFFIXES, nested=False)) is not None:
            return folder, splits
    raise not_found(request.data_dir, "video_folder", VIDEO_LAYOUTS)


def sidecar(video: Path) -> Path:
    """The wav file that beats a video's own sound track, where there is one."""
    return video.with_suffix(".wav")


def video_files(request: Request) -> list[Path]:
    """Every video and the sounds beside them, sorted. Raises UserError where there is none."""
    _, splits = class_videos(request)
    videos = [file for split in splits for files in split.values() for file in files]
    return sorted([*videos, *{sidecar(file) for file in videos if sidecar(file).is_file()}])
