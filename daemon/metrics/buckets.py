"""The upper bounds of the histograms, in seconds."""

from typing import Final

DELETION_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
"""From a few files on an idle disk to a directory of millions on a busy one."""

SWEEP_SECONDS: Final = (0.1, 1, 10, 60, 300, 1800, 7200, 21600)
"""From a plan that selects nothing to a night's work."""

REQUEST_SECONDS: Final = (0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 600)
"""From a probe to a batch that waits for its deletions."""

LAG_SECONDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 5)
"""From an idle event loop to one that somebody blocks."""

SCAN_SECONDS: Final = (0.1, 1, 10, 60, 300, 1800, 7200, 21600)
"""From a root where nothing has changed to one that is counted whole."""
