"""Measurements, always of one thing beside another in the same run. ``make bench``."""
