"""sweepd: a policy-driven cleanup daemon for the task directories of a data pipeline."""

__version__ = "0.1.0"
