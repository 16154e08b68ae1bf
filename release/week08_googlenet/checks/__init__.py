"""Week 8: GoogLeNet."""

from pathlib import Path

__path__.append(str(Path(__file__).parents[1] / "common"))
