"""How the losses that train here are computed on golden files: a module per family, found by itself."""

from importlib import import_module
from pathlib import Path

for _file in sorted(Path(__file__).parent.glob("*.py")):
    if _file.stem not in ("__init__", "registry"):
        import_module(f"{__name__}.{_file.stem}")
