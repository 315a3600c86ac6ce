"""Maps the checkout's folders into the one package `wcord_bench`; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

FOLDERS = ("benchmark", "baselines", "tasks")
OURS = "wcord_bench"

found = find_packages(include=[f"{name}{part}" for name in FOLDERS for part in ("", ".*")])
inner = [name for name in found if not name.startswith("benchmark.distribution")]

setup(
    packages=[OURS, *(f"{OURS}.{name}" for name in inner), f"{OURS}.results.reported"],
    package_dir={
        OURS: "benchmark/distribution",
        **{f"{OURS}.{name}": name for name in FOLDERS},
        f"{OURS}.results.reported": "results/reported",
    },
    package_data={
        OURS: ["py.typed"],
        f"{OURS}.benchmark.reporting.page": ["*.html", "*.css", "*.js"],
        f"{OURS}.baselines": ["catalogue.json"],
        f"{OURS}.results.reported": ["*.csv", "*.yaml"],
    },
)
