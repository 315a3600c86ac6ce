"""The datasets of the cross-modal task: embedded rooms, NYU Depth v2, folders, images in two parts."""

from __future__ import annotations

from pathlib import Path

from benchmark import DatasetCard, Request, deferred
from benchmark.data.locating import candidate_folders, not_found
from tasks.compression import cards as images
from tasks.cross_modal.rgbd_layout import LAYOUTS as FOLDER_LAYOUTS
from tasks.cross_modal.rgbd_layout import find_folder

ROOM = {"rgb": (3, 40, 40), "depth": (1, 40, 40)}

NYUV2_SIZE = (96, 128)
"""Rows and columns that the 480 x 640 pixels are brought to."""

NYUV2 = {"rgb": (3, *NYUV2_SIZE), "depth": (1, *NYUV2_SIZE)}
LABELLED = "nyu_depth_v2_labeled.mat"
SPLITS = "splits.mat"
MAPPING_40 = ("classMapping40.mat",)
MAPPING_13 = ("class13Mapping.mat", "classMapping13.mat")
NYUV2_LAYOUTS = f"nyuv2/{LABELLED} and, for the official split, nyuv2/{SPLITS} (trainNdxs, testNdxs)"
MAPPINGS = {
    40: f"nyuv2/{MAPPING_40[0]} (mapClass: 894 numbers)",
    13: f"nyuv2/{MAPPING_13[0]} (labels13: 40 numbers) and nyuv2/{MAPPING_40[0]} (mapClass: 894 numbers)",
}

FOLDER_SIZES = {"rgbd_folder": (48, 48), "rgbd_folder_96": (96, 128)}
"""Rows and columns that images are brought to, whatever their own proportions."""

LUMA_CHROMA = ("cifar10", "cifar100", "image_folder")
"""The image datasets whose luminance and chrominance are modalities."""


def cards() -> dict[str, DatasetCard]:
    """Dataset name -> card."""
    return {**_rooms(), **_nyuv2(), **_folders(), **_luma_chroma()}


def _rooms() -> dict[str, DatasetCard]:
    titles = {"rooms": "Rooms, 10 kinds", "rooms_segmentation": "Rooms, 11 classes of pixels"}
    return {
        name: DatasetCard(
            title, deferred("tasks.cross_modal.rooms", "load", name), synthetic=True, shapes=ROOM
        )
        for name, title in titles.items()
    }


def _nyuv2() -> dict[str, DatasetCard]:
    reader = "tasks.cross_modal.nyuv2"
    found = {
        "nyuv2": DatasetCard(
            "NYU Depth v2, scenes",
            deferred(reader, "load_scenes"),
            synthetic=False,
            requires=NYUV2_LAYOUTS,
            shapes=NYUV2,
            files=nyuv2_files,
        ),
    }
    for classes in (13, 40):
        found[f"nyuv2_segmentation_{classes}"] = DatasetCard(
            f"NYU Depth v2, {classes} classes of pixels",
            deferred(reader, "load_segmentation", classes),
            synthetic=False,
            requires=f"{NYUV2_LAYOUTS}; {MAPPINGS[classes]}",
            shapes=NYUV2,
            files=nyuv2_files,
        )
    return found


def nyuv2_folder(request: Request) -> Path:
    """The folder with the labelled file. Raises UserError where there is none."""
    for folder in candidate_folders(request.data_dir, "nyuv2", NYUV2_LAYOUTS):
        if (folder / LABELLED).is_file():
            return folder
    raise not_found(request.data_dir, "nyuv2", NYUV2_LAYOUTS)


def nyuv2_files(request: Request) -> list[Path]:
    """The labelled file, and those of the split and of the classes' mappings that are there."""
    folder = nyuv2_folder(request)
    files = (folder / name for name in (LABELLED, SPLITS, *MAPPING_40, *MAPPING_13))
    return [file for file in files if file.is_file()]


def _folders() -> dict[str, DatasetCard]:
    return {
        name: DatasetCard(
            f"Colour and depth of a folder, {rows} x {columns}",
            deferred("tasks.cross_modal.rgbd_folder", "load", name),
            synthetic=False,
            requires=FOLDER_LAYOUTS,
            shapes={"rgb": (3, rows, columns), "depth": (1, rows, columns)},
            files=rgbd_files,
        )
        for name, (rows, columns) in FOLDER_SIZES.items()
    }


def rgbd_files(request: Request) -> list[Path]:
    """The images, the tables, and the unit of depth. Raises UserError where there is no such folder."""
    folder = find_folder(request.data_dir)
    unit = folder.root / "depth_scale.txt"
    return [*folder.files, *([unit] if unit.is_file() else [])]


def _luma_chroma() -> dict[str, DatasetCard]:
    sources = images.cards()
    return {
        f"luma_chroma_{name}": DatasetCard(
            f"{sources[name].title}, luminance and chrominance",
            deferred("tasks.cross_modal.luma_chroma", "load", name),
            synthetic=False,
            requires=sources[name].requires,
            shapes={
                "luma": (1, *sources[name].shapes["rgb"][1:]),
                "chroma": (2, *sources[name].shapes["rgb"][1:]),
            },
            files=sources[name].files,
        )
        for name in LUMA_CHROMA
    }
