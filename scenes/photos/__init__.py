"""Photos, and the lenses they were taken with."""
