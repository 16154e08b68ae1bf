"""Week 8: ResNet."""

from pathlib import Path

__path__.append(str(Path(__file__).parents[1] / "common"))
