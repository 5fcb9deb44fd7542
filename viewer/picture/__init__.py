"""Pictures of a scene, for a browser or a file."""
