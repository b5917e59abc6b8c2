"""Tells webhooks what an operator has to know: collected, kept in the catalog, digested, signed, sent, retried."""
