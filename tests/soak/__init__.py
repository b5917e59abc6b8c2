"""A pipeline, its users and their accidents around a real daemon, for as long as one likes; then the audit."""
