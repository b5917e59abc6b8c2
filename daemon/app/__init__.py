"""The composition root: builds everything from the configuration, starts it and stops it in order."""
