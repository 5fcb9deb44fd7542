"""SPZ files."""
