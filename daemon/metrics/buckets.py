"""The bounds of the histograms."""

from typing import Final

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
"""From a few files on an idle disk to a directory of millions on a busy one."""
