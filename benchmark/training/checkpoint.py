"""On disk: the weights of finished networks, as safetensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from benchmark.writing import write_whole


def save_weights(state: Mapping[str, Tensor], file: Path) -> None:
    """Writes a state dict to `file`: whole or not at all. Raises OSError, as `save_file` on a full disk would
    not."""
    write_whole(file, save({name: value.detach().cpu().contiguous() for name, value in state.items()}))


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
