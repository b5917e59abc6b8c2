"""A real Prometheus that scrapes a real daemon at work, and is asked everything that dashboard and alerts ask."""
