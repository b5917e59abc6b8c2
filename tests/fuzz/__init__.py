"""A real daemon on PostgreSQL, held to its own description by Schemathesis."""
