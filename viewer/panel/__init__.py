"""The control panel of a browser."""
