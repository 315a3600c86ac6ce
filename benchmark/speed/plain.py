"""A run as a plain PyTorch loop, as the known repositories of distillation have it: what ours is beside.

Images are PIL images, cropped, flipped and normalised one by one; a DataLoader makes batches of them; the
optimiser is SGD; the networks keep PyTorch's own memory format. Every loop has its own data and its own
teacher pass. Networks, weights and the loss of the baseline are those of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmark.contracts import Data, Progress, Samples
from benchmark.models import Network
from benchmark.models.network import place
from benchmark.planning.specs import RunSpec
from benchmark.ranks import Fabric
from benchmark.training.criterion import Criterion
from benchmark.training.materials import Materials
from benchmark.training.run_state import RunState


def why_no_plain_loop(materials: Materials, state: RunState) -> str:
    """Why this run can't be one; empty where it can."""
    teacher, student = materials.spec.teacher.modalities, materials.spec.student.modalities
    values = materials.data.train.modalities
    if teacher != student or len(student) != 1:
        return "a plain loop loads one image per sample"
    if not isinstance(values, Mapping) or values[student[0]].dtype != torch.uint8 or materials.data.dense:
        return "a plain loop loads images of 8 bits that are in memory, with a label each"
    if materials.data.modalities[student[0]].shape[0] != 3:
        return "a plain loop loads images of three colours"
    if state.learner.second_view:
        return f"a plain loop makes no {state.learner.second_view} view"
    if materials.spec.recipe.optimizer != "sgd":
        return "the optimiser of a plain loop is SGD"
    return ""


class Images(Dataset[tuple[Tensor, int, int]]):
    """Samples as torchvision's CIFAR datasets give them, with their number: image, label, index."""

    def __init__(self, samples: Samples, data: Data, name: str):
        modality, values = data.modalities[name], samples.modalities
        assert isinstance(values, Mapping)
        self._images = values[name].permute(0, 2, 3, 1).contiguous().numpy()
        self._labels = samples.labels.tolist()
        steps: list[Callable] = []
        if data.pad:
            steps.append(transforms.RandomCrop(modality.shape[1:], padding=data.pad))
        if data.flip:
            steps.append(transforms.RandomHorizontalFlip())
        steps += [transforms.ToTensor(), transforms.Normalize(modality.mean, modality.std)]
        self._transform: Callable[[Image.Image], Tensor] = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return self._transform(Image.fromarray(self._images[index])), self._labels[index], index


class PlainLoop:
    """One baseline's loop; `train` goes on where the last call ended.

    state   the run as the engine has made it ready: its student and its loss are taken, and trained here
    """

    def __init__(self, materials: Materials, state: RunState, run: RunSpec, fabric: Fabric, workers: int):
        recipe, device = state.recipe, fabric.device
        self._fabric = fabric
        (self._modality,) = materials.spec.student.modalities
        self._student = _in_plain_format(state.learner.network, device)
        self._teacher = None
        if state.uses_teacher:
            self._teacher = _in_plain_format(materials.teacher_network(device), device).eval()
        distiller = state.learner.distiller
        place(distiller, device, torch.contiguous_format)
        self._criterion = Criterion(run.baseline, distiller, run.distiller_arguments)
        self._optimizer = torch.optim.SGD(
            state.parameters, recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay
        )
        samples = Images(materials.train, materials.data, self._modality)
        self._loader = DataLoader(
            samples,
            min(recipe.batch_size, len(samples)),
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
        )
        self._batches = self._endless()
        self._student.train()
        self._criterion.train()

    def train(self, steps: int) -> None:
        """So many steps; random draws come from torch's global state."""
        device = self._fabric.device
        for number in range(steps):
            images, label, index = (each.to(device, non_blocking=True) for each in next(self._batches))
            with self._fabric.autocast():
                student = self._student({self._modality: images})
                teacher = student
                if self._teacher is not None:
                    with torch.no_grad():
                        teacher = self._teacher({self._modality: images})
                progress = Progress(0, 1, number, steps)
                loss = self._criterion(teacher, student, label, index, progress=progress)
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()

    def _endless(self) -> Iterator[list[Tensor]]:
        while True:
            yield from self._loader


def _in_plain_format(network: Network, device: torch.device) -> Network:
    """The network itself, in PyTorch's own memory format."""
    network.memory_format = torch.contiguous_format
    place(network, device, torch.contiguous_format)
    return network
