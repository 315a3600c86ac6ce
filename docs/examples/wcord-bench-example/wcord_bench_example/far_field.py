"""Far-field listening: the teacher hears a microphone at the source, the student one across the room."""

from __future__ import annotations

from benchmark import DatasetCard, Pair, Preset, Recipe, Task, deferred, task

LENGTH = 128
SHAPES = {"near": (1, LENGTH), "far": (1, LENGTH)}


@task("far_field", title="Far-field listening")
class FarField(Task):
    """Which way the pitch of a tone goes."""

    def datasets(self) -> dict[str, DatasetCard]:
        load = deferred("wcord_bench_example.tones", "load")
        return {"tones": DatasetCard("Tones in a noisy room", load, synthetic=True, shapes=SHAPES)}

    def pairs(self, dataset: str) -> dict[str, Pair]:
        recipe = Recipe(epochs=20, batch_size=32, learning_rate=0.05, schedule="cosine")
        return {"conv1d_16-conv1d_4": Pair("conv1d_16", "conv1d_4", recipe, recipe, ("near",), ("far",))}

    def presets(self) -> dict[str, Preset]:
        return dict.fromkeys(
            ("quick", "standard", "paper"), Preset(("tones",), ("conv1d_16-conv1d_4",), seeds=(0, 1, 2))
        )
