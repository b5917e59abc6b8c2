"""A sweep: one run of a policy. Plan, limits, deletions, report."""
