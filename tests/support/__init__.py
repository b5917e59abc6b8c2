"""What several tests share: servers, sample tables, fakes."""
