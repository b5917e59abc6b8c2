"""The units under a real systemd: ``make boot``."""
