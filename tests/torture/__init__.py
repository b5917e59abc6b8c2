"""Kills, faults and mutants: everything that can go wrong with a deletion, tried one by one. ``make torture``."""
