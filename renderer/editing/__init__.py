"""Splats changed as values: put together, chosen, moved. Nothing here is fitted."""
