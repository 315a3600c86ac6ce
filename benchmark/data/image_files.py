"""Images by their classes, in folders or shards: in memory where they fit, else read one by one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Generator, Tensor
from torchvision.transforms import v2

from benchmark.checksums import bytes_checksum
from benchmark.contracts import Request, Samples, Source, Stored
from benchmark.data.loading import LeftOut, Report, Unusable, cached, stamps
from benchmark.data.locating import printable
from benchmark.data.parquet_shards import Cell
from benchmark.data.pictures import check_header, decode_picture, in_threads
from benchmark.data.places import Place, Places, key_of, read_place
from benchmark.errors import UserError

VERSION = 2
"""Of what is kept of files that were looked at."""

AT_ONCE = 10_000
"""Files that threads are given to look at; there may be millions."""

Framing = Literal["whole", "crops"]
CENTRE = 224 / 256
"""The share of the shorter side that evaluation sees under "crops": published ImageNet results have it so."""


@dataclass(frozen=True)
class ImageFiles(Source):
    """RGB images [3, size, size] uint8, the modality "rgb".

    framing   "whole": all of the image, squeezed into a square. "crops": training sees a random crop of 8 to
              100 % of the area, evaluation the central square (Szegedy et al., CVPR 2015, as in torchvision's
              reference for classification)
    """

    files: Places
    size: int
    framing: Framing

    def read(self, row: int, names: frozenset[str], draw: Generator | None) -> Mapping[str, Tensor]:
        """See Source."""
        try:
            file = self.files[row]
            image = decode_picture(file, read_place(file))
        except Unusable as problem:
            raise UserError(f"{problem}: mend or remove it") from problem
        return {"rgb": self.framed(image, draw)}

    def framed(self, image: np.ndarray, draw: Generator | None) -> Tensor:
        """A decoded image [H, W, 3] BGR as the networks see it."""
        if self.framing == "whole":
            return _to_rgb(cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_AREA))
        whole, square = _to_rgb(image), [self.size, self.size]
        if draw is None:
            small = v2.functional.resize(whole, [round(self.size / CENTRE)], antialias=True)
            return v2.functional.center_crop(small, square)
        # torchvision draws from torch's global state.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (), generator=draw)))
            return v2.RandomResizedCrop(square, antialias=True)(whole)


def read_by_class(
    request: Request,
    name: str,
    files: Sequence[Mapping[str, Sequence[Place]]],
    size: int,
    framing: Framing = "whole",
) -> tuple[Samples, Samples, tuple[str, ...], str]:
    """Train and test samples, class names and fingerprint of images by their classes, train and test.

    On disk they are read with `request.num_workers` processes. Crops stay there: each epoch has others. To
    skip bad samples every image on disk is decoded once, so that those are left out that would be in memory.
    To stop at one, headers are read before anything trains; any other damage is named when its batch is due.
    """
    listed = [_listed(split) for split in files]
    classes = tuple(sorted(files[0]))
    if unknown := sorted(set(files[1]) - set(classes)):
        raise UserError(f"{name}: class {printable(unknown[0])} has test images and none to train on")
    bytes_needed = sum(map(len, listed)) * 3 * size * size
    if framing == "whole" and bytes_needed <= request.memory_gb * 2**30:
        left_out = LeftOut(request, name)
        parts = [_in_memory(each, classes, size, left_out.report) for each in listed]
        left_out.tell()
    else:
        known = iter(_looked_at(request, name, [file for each in listed for file, _ in each]))
        like = ImageFiles(Places(), size, framing)
        parts = [_on_disk(request, list(zip(each, known, strict=False)), classes, like) for each in listed]
    (train, seen), (test, tested) = parts
    return train, test, classes, _fingerprint(f"{size} {framing}", {"train": seen, "test": tested})


def _listed(split: Mapping[str, Sequence[Place]]) -> list[tuple[Place, str]]:
    """Every image with its class: class by class, but those of parquet shards in the order that they have
    there, in which reading them takes reading every row group once."""
    listed = [(file, kind) for kind, each in split.items() for file in each]
    cells = [(file.order, (file, kind)) for file, kind in listed if isinstance(file, Cell)]
    return [each for _, each in sorted(cells)] if cells else listed


Seen = list[tuple[str, str]]
"""Of each sample that is used, in order: class/file and the checksum of its bytes."""


def _in_memory(
    listed: list[tuple[Place, str]], classes: tuple[str, ...], size: int, report: Report
) -> tuple[Samples, Seen]:
    source = ImageFiles(Places(), size, "whole")

    def read(file: Place) -> tuple[Tensor, str]:
        content = read_place(file)
        return source.framed(decode_picture(file, content), None), bytes_checksum(content)

    images: list[Tensor] = []
    labels: list[int] = []
    seen: Seen = []
    with closing(in_threads(read, [file for file, _ in listed])) as results:
        for (file, kind), result in zip(listed, results, strict=True):
            if isinstance(result, Unusable):
                report(result.file, result.problem)
            else:
                images.append(result[0])
                labels.append(classes.index(kind))
                seen.append((f"{kind}/{key_of(file)}", result[1]))
    rgb = torch.stack(images) if images else torch.empty((0, 3, size, size), dtype=torch.uint8)
    return Samples({"rgb": rgb}, torch.tensor(labels, dtype=torch.int64)), seen


def _on_disk(
    request: Request,
    listed: list[tuple[tuple[Place, str], str]],
    classes: tuple[str, ...],
    like: ImageFiles,
) -> tuple[Samples, Seen]:
    """Samples of ((file, class), checksum), those without a checksum left out."""
    numbers = {kind: number for number, kind in enumerate(classes)}
    used = [(file, kind, checksum) for (file, kind), checksum in listed if checksum]
    source = ImageFiles(Places(file for file, _, _ in used), like.size, like.framing)
    stored = Stored(source, frozenset({"rgb"}), torch.arange(len(used)), request.num_workers)
    labels = torch.tensor([numbers[kind] for _, kind, _ in used], dtype=torch.int64)
    return Samples(stored, labels), [(f"{kind}/{key_of(file)}", checksum) for file, kind, checksum in used]


def _looked_at(request: Request, name: str, files: list[Place]) -> list[str]:
    """The checksums of the files' bytes, empty for a bad sample; kept until a file changes."""
    whole = request.bad_samples == "skip"

    def look(report: Report) -> dict[str, np.ndarray]:
        if len(files) > AT_ONCE:
            request.say(f"{name}: {'decoding' if whole else 'reading'} {len(files):,} images, once")
        found = np.zeros(len(files), "S32")
        for number, checksum in enumerate(_checksums(files, decode_picture if whole else check_header)):
            if isinstance(checksum, Unusable):
                report(checksum.file, checksum.problem)
            else:
                found[number] = checksum
        return {"checksums": found}

    here = os.getcwd()
    on_disk = {os.path.join(here, file if isinstance(file, Path) else file.shard) for file in files}
    identity = {"looked at": VERSION, "count": len(files), "whole": whole}
    arrays = cached(request, name, identity | {"files": stamps(on_disk, Path("/"))}, look)
    return arrays["checksums"].astype(np.str_).tolist()


def _checksums(files: list[Place], check: Callable[[Place, bytes], object]) -> Iterator[str | Unusable]:
    def checksum(file: Place) -> str:
        content = read_place(file)
        check(file, content)
        return bytes_checksum(content)

    for start in range(0, len(files), AT_ONCE):
        with closing(in_threads(checksum, files[start : start + AT_ONCE])) as results:
            yield from results


def _fingerprint(how: str, parts: Mapping[str, Seen]) -> str:
    """16 hexadecimal digits of the SHA-256 over how images are seen, and which they are in which order."""
    digest = hashlib.sha256(how.encode())
    for split, seen in parts.items():
        for name, checksum in seen:
            digest.update(f"{split}/{name} {checksum}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _to_rgb(image: np.ndarray) -> Tensor:
    """[H, W, 3] BGR, as it is decoded -> [3, H, W] RGB."""
    return torch.from_numpy(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).permute(2, 0, 1).contiguous()
