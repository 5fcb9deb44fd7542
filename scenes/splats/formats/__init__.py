"""The formats that splats are in, one a file: what is in a file, in its own axes."""
