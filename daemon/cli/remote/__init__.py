"""The commands with ``--server``: they ask a running daemon, and read neither configuration nor database."""
