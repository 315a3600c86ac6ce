"""Networks of torchvision and timm as a Network: `torchvision:resnet18`, `timm:vit_tiny_patch16_224`."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.contracts import Activations
from benchmark.errors import UserError, reason_of, unknown
from benchmark.models.capture import Capture
from benchmark.models.network import Network, image_shape

TOKEN_MAPS = 4
"""How many depths of a transformer with a single resolution are shown, evenly spaced."""


@dataclass(frozen=True)
class Tap:
    """Where a map is found: a module path and the layout of its output.

    layout   "BCHW", "BHWC", or "tokens" [B, prefix + h * w, C] on the patch grid (h, w)
    """

    path: str
    layout: str
    grid: tuple[int, int] = (0, 0)

    def read(self, output: Tensor) -> Tensor:
        """The output as a map [B, C, H, W]."""
        if self.layout == "BHWC":
            return output.permute(0, 3, 1, 2)
        if self.layout == "tokens":
            # Class and register tokens come first and have no place on the grid.
            return output[:, -math.prod(self.grid) :].transpose(1, 2).unflatten(2, self.grid)
        return output


class AdaptedNetwork(Network):
    """A torchvision or timm classifier that shows its activations; its weights are under `model.`.

    embedding        the input of the last Linear; without such a classifier, the last map's mean over space
    maps             the last output at each resolution of the trunk, shallow to deep; for a transformer on
                     one patch grid, the patch embedding and four depths, with tokens put back on the grid
    preactivations   none: a foreign network does not say where its non-linearities are
    """

    def __init__(self, model: nn.Module, shape: tuple[int, int, int]):
        """model: from images [B, *shape] to logits [B, K]. Raises UserError when it can't take that shape."""
        super().__init__()
        self.model = model
        outputs, inputs, logits = _dry_run(model, shape)
        self._head = _head(model, outputs, inputs, logits)
        stages, tokens = _stages(model, outputs, shape), _token_stages(model, outputs)
        self._taps = (stages or tokens[:1]) + tokens[1:]
        if not self._taps and self._head is None:
            raise UserError(
                f"{type(model).__name__} has neither a linear classifier nor image maps to learn from"
            )
        # Tokens gain nothing from channels_last; convolutions do (on CPU: mostly 1 to 3 times as fast).
        self.memory_format = torch.contiguous_format if len(tokens) > 1 else torch.channels_last
        heads = () if self._head is None else (self._head,)
        self._capture = Capture(model, outputs=[tap.path for tap in self._taps], inputs=heads)

    @property
    def head(self) -> nn.Module | None:
        return None if self._head is None else self.model.get_submodule(self._head)

    def show(self, image: Tensor) -> Activations:
        """image [B, C, H, W] -> Activations without preactivations."""
        try:
            logits = _logits(self.model(image))
        finally:
            outputs, inputs = self._capture.pop()
        maps = tuple(tap.read(outputs[tap.path]) for tap in self._taps)
        embedding = maps[-1].mean((2, 3)) if self._head is None else inputs[self._head]
        return Activations(logits, embedding, maps)


LEAST_PATCHES = 8


def adapted(name: str, model: nn.Module, shapes: Sequence[tuple[int, ...]]) -> AdaptedNetwork:
    """Any classifier of one image (C, H, W) as a Network. Raises UserError where it can't be one."""
    shape = image_shape(name, shapes)
    with _build_errors(name, shape):
        return AdaptedNetwork(model, shape)


def from_torchvision(name: str, shapes: Sequence[tuple[int, ...]], num_classes: int) -> AdaptedNetwork:
    """An untrained torchvision classification network for the one image shape (C, H, W)."""
    import torchvision  # takes a second, and most commands have no network of it

    channels, height, width = shape = image_shape(f"torchvision:{name}", shapes)
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise _unknown_model("torchvision", name, known, "torchvision.models.list_models()")
    # The family's module tells which of torchvision's constructors need to know the image size.
    family = torchvision.models.get_model_builder(name).__module__.rpartition(".")[2]
    options: dict[str, Any] = {
        "vision_transformer": {"image_size": height},
        "maxvit": {"input_size": (height, width)},
        "googlenet": {"aux_logits": False, "init_weights": True},
        "inception": {"aux_logits": False, "init_weights": True},
    }.get(family, {})
    if family == "vision_transformer" and height != width:
        raise UserError(
            f"torchvision:{name} takes square images only, got {height}x{width}: resize or pad them"
        )
    with _build_errors(f"torchvision:{name}", shape):
        model = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **options)
        if channels != 3:
            _set_input_channels(model, channels)
        return AdaptedNetwork(model, shape)


def from_timm(name: str, shapes: Sequence[tuple[int, ...]], num_classes: int) -> AdaptedNetwork:
    """An untrained timm network for the one image shape (C, H, W); timm is an optional dependency.

    A transformer's patches shrink with small images, to `LEAST_PATCHES` along an axis: 16 pixels of 224 are
    two patches of 32.
    """
    try:
        import timm
    except ImportError:
        raise UserError(f'timm:{name} needs timm: pip install "wcord-bench[timm]"') from None
    channels, height, width = shape = image_shape(f"timm:{name}", shapes)
    if not timm.is_model(name):
        raise _unknown_model("timm", name, timm.list_models(), "timm.list_models()")
    settings = timm.get_pretrained_cfg(name, allow_unregistered=True)
    options: dict[str, Any] = (
        {"img_size": (height, width)} if settings is not None and settings.fixed_input_size else {}
    )
    patch = re.search(r"_patch(\d+)", name)
    if options and patch is not None and int(patch[1]) > max(1, min(height, width) // LEAST_PATCHES):
        options["patch_size"] = max(1, min(height, width) // LEAST_PATCHES)
    with _build_errors(f"timm:{name}", shape):
        model = timm.create_model(name, num_classes=num_classes, in_chans=channels, **options)
        return AdaptedNetwork(model, shape)


@contextmanager
def _build_errors(name: str, shape: tuple[int, ...]) -> Iterator[None]:
    """Turns what a foreign constructor or forward pass raises into one line."""
    try:
        yield
    except (RuntimeError, ValueError, AssertionError, IndexError, TypeError) as error:
        raise UserError(
            f"{name} can't take images of shape {shape} ({reason_of(error)}): choose another network or "
            "image size"
        ) from error


def _unknown_model(library: str, name: str, known: Iterable[str], listing: str) -> UserError:
    """An error with the nearest model names of the library, or with how to list them all."""
    known = list(known)
    if difflib.get_close_matches(name.lower(), [each.lower() for each in known], n=1, cutoff=0.5):
        return unknown(f"{library} model", name, known)
    return UserError(f"unknown {library} model {name!r}: {listing} lists them all")


def _set_input_channels(model: nn.Module, channels: int) -> None:
    """Replaces the first convolution by one of `channels` inputs, with weights of the same deviation."""
    for path, old in model.named_modules():
        if isinstance(old, nn.Conv2d) and old.in_channels == 3:
            new = nn.Conv2d(
                channels,
                old.out_channels,
                old.kernel_size,  # pyright: ignore[reportArgumentType] - torch types these as any tuple
                old.stride,  # pyright: ignore[reportArgumentType]
                old.padding,  # pyright: ignore[reportArgumentType]
                old.dilation,  # pyright: ignore[reportArgumentType]
                bias=old.bias is not None,
                padding_mode=old.padding_mode,
            )
            nn.init.normal_(new.weight, 0.0, old.weight.std().item())
            model.set_submodule(path, new)
            return
    raise ValueError("it has no convolution of three input channels to replace")


def _logits(output: Any) -> Tensor:
    """The logits of a model's output; models with auxiliary classifiers return them first."""
    return output if isinstance(output, Tensor) else output[0]


@torch.no_grad()
def _dry_run(model: nn.Module, shape: tuple[int, ...]) -> tuple[dict[str, Any], dict[str, Any], Tensor]:
    """(module path -> output, path of a Linear -> input, logits) of one pass in eval mode, as executed.

    The input is fixed, so that building a network draws nothing but its weights.
    """
    paths = [path for path, _ in model.named_modules() if path]
    linears = [path for path, module in model.named_modules() if path and isinstance(module, nn.Linear)]
    capture = Capture(model, outputs=paths, inputs=linears)
    was_training = model.training
    try:
        images = torch.linspace(-1.0, 1.0, 2 * math.prod(shape)).view(2, *shape)
        logits = _logits(model.eval()(images))
        return *capture.pop(), logits
    finally:
        capture.remove()
        model.train(was_training)


def _head(model: nn.Module, outputs: dict[str, Any], inputs: dict[str, Any], logits: Tensor) -> str | None:
    """The path of the Linear from embedding to logits: the last one called, if its output is the logits."""
    for path in reversed(outputs):
        if path in inputs:
            is_head = inputs[path].ndim == 2 and outputs[path].shape == logits.shape
            return (
                path if is_head and torch.allclose(model.get_submodule(path)(inputs[path]), logits) else None
            )
    return None


def _trunk(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules that an image passes in turn: children, with sequences opened and blocks left whole."""
    for name, child in module.named_children():
        if isinstance(child, (nn.Sequential, nn.ModuleList)):
            yield from _trunk(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


def _stages(model: nn.Module, outputs: dict[str, Any], shape: tuple[int, int, int]) -> tuple[Tap, ...]:
    """The last trunk module at each resolution, from the stem to the global pooling.

    Pooling makes no stage of its own, and the top-level child that ends the network is its classifier.
    """
    trunk = dict(_trunk(model))
    parametrised = [
        path for path in outputs if any(True for _ in model.get_submodule(path).parameters(False))
    ]
    classifier = parametrised[-1].partition(".")[0]
    found: list[tuple[str, tuple[int, int, int]]] = []
    for path, output in outputs.items():
        if path not in trunk or path.partition(".")[0] == classifier:
            continue
        kind = type(trunk[path]).__name__
        if "Pool" in kind and "Adaptive" in kind:
            break
        is_pooling = "Pool" in kind and not any(True for _ in trunk[path].parameters())
        if not is_pooling and isinstance(output, Tensor) and output.ndim == 4:
            channels, height, width = output.shape[1:]
            found.append((path, (channels, height, width)))
    stages: dict[tuple[int, int], Tap] = {}
    layouts = _layouts([each for _, each in found], shape)
    for (path, extents), layout in zip(found, layouts, strict=True):
        space = extents[:2] if layout == "BHWC" else extents[1:]
        if all(math.prod(space) <= math.prod(other) for other in stages):
            stages[space] = Tap(path, layout)
    return tuple(stages.values())


def _layouts(extents: Sequence[tuple[int, int, int]], shape: tuple[int, int, int]) -> list[str]:
    """Per 4-d output, of these extents behind the batch axis, where its space is: in the image's proportions.

    Where both readings fit or none, the output is read like the one before it; the first ones like the first
    that is clear.
    """
    _, height, width = shape
    clear: list[str | None] = []
    for first, second, third in extents:
        first_two, last_two = first * width == second * height, second * width == third * height
        clear.append(None if first_two == last_two else "BHWC" if first_two else "BCHW")
    layout = next((each for each in clear if each), "BCHW")
    layouts = []
    for each in clear:
        layout = each or layout
        layouts.append(layout)
    return layouts


def _token_stages(model: nn.Module, outputs: dict[str, Any]) -> tuple[Tap, ...]:
    """The patch embedding, and evenly spaced blocks of the longest sequence that emits tokens on its grid."""
    convolutions = [path for path in outputs if isinstance(model.get_submodule(path), nn.Conv2d)]
    if not convolutions:
        return ()
    grid = tuple(outputs[convolutions[0]].shape[2:])
    longest: list[str] = []
    for prefix, module in model.named_modules():
        if isinstance(module, (nn.Sequential, nn.ModuleList)):
            blocks = [f"{prefix}.{name}" for name, _ in module.named_children()]
            shapes = {_token_shape(outputs.get(block)) for block in blocks}
            # All blocks must emit the same number of tokens, at least one per place on the grid.
            first = shapes.pop() if len(shapes) == 1 else None
            if first is not None and first[0] >= math.prod(grid) and len(blocks) > len(longest):
                longest = blocks
    if not longest:
        return ()
    count = min(TOKEN_MAPS, len(longest))
    picked = [longest[(part + 1) * len(longest) // count - 1] for part in range(count)]
    return (Tap(convolutions[0], "BCHW"), *(Tap(path, "tokens", grid) for path in picked))


def _token_shape(output: Any) -> tuple[int, int] | None:
    """(tokens, channels) of an output [B, N, C]; None for anything else."""
    if not (isinstance(output, Tensor) and output.ndim == 3):
        return None
    tokens, channels = output.shape[1:]
    return tokens, channels
