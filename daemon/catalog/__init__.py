"""The database: the pipeline's tables, where sweepd is a guest, and sweepd's own. Nothing else imports SQLAlchemy."""
