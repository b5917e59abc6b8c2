"""A made-up workspace to try sweepd on: ``make demo``."""
