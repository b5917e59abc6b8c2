"""Policies: what they may say, and how they are read from YAML. No database, no clock."""
