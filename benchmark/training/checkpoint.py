"""On disk: weights of finished networks (safetensors), and snapshots of trainings that go on."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

if TYPE_CHECKING:
    from benchmark.training.loop import RunState


SNAPSHOT_SECONDS = 60.0
"""A training that is stopped loses at most this much (or one epoch)."""


class Snapshots:
    """The state of trainings that are under way, a file for each, so that a stopped command goes on from
    there.

    files        run name -> file
    identities   run name -> what must agree for a snapshot to be used: the run's id and its code
    """

    def __init__(self, files: Mapping[str, Path], identities: Mapping[str, str], say: Callable[[str], None]):
        self._files, self._identities, self._say = files, identities, say
        self._last = time.monotonic()

    def keep(self, epoch: int, states: Iterable[RunState]) -> None:
        """Writes snapshots of the runs after `epoch` epochs, if the last time is long enough ago."""
        if time.monotonic() - self._last >= SNAPSHOT_SECONDS:
            self.write(epoch, states)

    def write(self, epoch: int, states: Iterable[RunState]) -> None:
        """Writes snapshots of the runs after `epoch` epochs, now."""
        for state in states:
            content = {"identity": self._identities[state.name], "epoch": epoch, "state": state.snapshot()}
            file = self._files[state.name]
            temporary = file.with_name(f".{file.name}.{os.getpid()}")
            torch.save(content, temporary)
            temporary.replace(file)
        self._last = time.monotonic()

    def load(self, name: str) -> tuple[int, dict[str, Any]]:
        """How many epochs of a run are done, and its snapshot; 0 and {} where no usable snapshot is there."""
        try:
            content = torch.load(self._files[name], map_location="cpu", weights_only=True)
            if content["identity"] == self._identities[name]:
                return content["epoch"], content["state"]
        except FileNotFoundError:
            pass
        except Exception as damage:  # torch raises a dozen kinds; whatever it is, training starts over
            line = next(iter(str(damage).splitlines()), "")
            self._say(f"{self._files[name]} is damaged ({line}); that training starts over")
        return 0, {}


def save_weights(state: Mapping[str, Tensor], file: Path) -> None:
    """Writes a state dict to `file`: whole or not at all."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    save_file({name: value.detach().cpu().contiguous() for name, value in state.items()}, temporary)
    temporary.replace(file)


def load_weights(module: nn.Module, file: Path) -> bool:
    """Loads what `save_weights` wrote; False where the file is missing, damaged or of another module."""
    try:
        module.load_state_dict(load_file(file))
    except (OSError, SafetensorError, RuntimeError):
        return False
    return True


@torch.no_grad()
def checksum(module: nn.Module) -> str:
    """16 hexadecimal digits of the SHA-256 over names and values of a module's state."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(_bytes(value))
    return digest.hexdigest()[:16]


def _bytes(value: Tensor) -> bytes:
    return value.detach().cpu().contiguous().numpy().tobytes()
