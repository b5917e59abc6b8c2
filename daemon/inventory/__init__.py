"""The background scan that keeps what is known of every task directory."""
