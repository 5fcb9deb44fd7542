"""What a browser or a file is shown."""
