"""Batches of deletions, and the jobs that run them in the background: blocking code, driven by the web."""
