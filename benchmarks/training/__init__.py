"""What options of training gain on photos that are not perfect."""
