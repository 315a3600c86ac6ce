"""The measuring stick: what everything costs, `python -m benchmark.speed --pair ... --baselines ...`."""

from benchmark.speed.bench import Bench, NoneSuited, Timing, Trainings, bench_of, measure, suited
from benchmark.speed.materials import make_materials
from benchmark.speed.report import Report
from benchmark.speed.settings import Speed
from benchmark.speed.tables import show

__all__ = [
    "Bench",
    "NoneSuited",
    "Report",
    "Speed",
    "Timing",
    "Trainings",
    "bench_of",
    "make_materials",
    "measure",
    "show",
    "suited",
]
