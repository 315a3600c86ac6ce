"""Building blocks in plain loops: convolution, batch norm, pooling, softmax, projections."""

from __future__ import annotations

import math

import numpy as np

Array = np.ndarray


def convolution(x: Array, weight: Array, bias: Array | None = None, padding: int = 0) -> Array:
    """x [B, C, H, W], weight [D, C, h, w], stride 1 -> [B, D, H', W']."""
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    height, width = padded.shape[2] - weight.shape[2] + 1, padded.shape[3] - weight.shape[3] + 1
    out = np.zeros((len(x), len(weight), height, width))
    for i in range(height):
        for j in range(width):
            patch = padded[:, :, i : i + weight.shape[2], j : j + weight.shape[3]]
            for d in range(len(weight)):
                out[:, d, i, j] = (patch * weight[d]).sum((1, 2, 3)) + (0 if bias is None else bias[d])
    return out


def transposed_convolution(x: Array, weight: Array, bias: Array, padding: int) -> Array:
    """x [B, C, H, W], weight [C, D, h, w], stride 1 -> [B, D, H', W']: every place adds its kernel."""
    (batch, channels, height, width), (_, out, rows, columns) = x.shape, weight.shape
    full = np.zeros((batch, out, height + rows - 1, width + columns - 1))
    for i in range(height):
        for j in range(width):
            for c in range(channels):
                for b in range(batch):
                    full[b, :, i : i + rows, j : j + columns] += x[b, c, i, j] * weight[c]
    inner = full[:, :, padding : full.shape[2] - padding, padding : full.shape[3] - padding]
    return inner + bias[None, :, None, None]


def batch_norm(x: Array, weight: Array, bias: Array, epsilon: float = 1e-5) -> Array:
    """Over batch and space, with the biased variance, [B, C, ...]."""
    out = np.empty_like(x)
    for c in range(x.shape[1]):
        values = x[:, c]
        out[:, c] = (values - values.mean()) / math.sqrt(values.var() + epsilon) * weight[c] + bias[c]
    return out


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def leaky(x: Array, slope: float = 0.1) -> Array:
    return np.where(x > 0, x, slope * x)


def pool(x: Array, rows: int, columns: int) -> Array:
    """The mean over cells of an adaptive grid, [B, C, H, W] -> [B, C, rows, columns]."""
    out = np.empty((*x.shape[:2], rows, columns))
    for i in range(rows):
        for j in range(columns):
            top, bottom = i * x.shape[2] // rows, -(-(i + 1) * x.shape[2] // rows)
            left, right = j * x.shape[3] // columns, -(-(j + 1) * x.shape[3] // columns)
            out[:, :, i, j] = x[:, :, top:bottom, left:right].mean((2, 3))
    return out


def nearest(x: Array, rows: int, columns: int) -> Array:
    """Each place of the new grid [B, C, rows, columns] takes that of the old one which it falls into."""
    out = np.empty((*x.shape[:2], rows, columns))
    for i in range(rows):
        for j in range(columns):
            out[:, :, i, j] = x[:, :, i * x.shape[2] // rows, j * x.shape[3] // columns]
    return out


def softmax(z: Array, temperature: float = 1.0) -> Array:
    """Of a vector."""
    exponentials = np.exp((z - z.max()) / temperature)
    return exponentials / exponentials.sum()


def divergence(p: Array, q: Array) -> float:
    """KL(p || q) of two probability vectors."""
    return float(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))


def unit(v: Array) -> Array:
    """v over its length; zero stays zero."""
    return v / max(math.sqrt((v**2).sum()), 1e-12)


def linear(x: Array, state: dict[str, Array], name: str) -> Array:
    """[B, D] through the weight and, where there is one, the bias stored under `name`."""
    bias = state.get(f"{name}.bias")
    rows = [[float(row @ each) for row in state[f"{name}.weight"]] for each in x]
    return np.array(rows) + (0 if bias is None else bias)


def cross_entropy(logits: Array, target: Array) -> float:
    """Mean over rows [R, K] of -log softmax at the target; a target is a class or a distribution [K]."""
    total = 0.0
    for row, wanted in zip(logits, target, strict=True):
        logs = np.log(softmax(row))
        total -= logs[wanted] if np.ndim(wanted) == 0 else (logs * wanted).sum()
    return total / len(logits)
