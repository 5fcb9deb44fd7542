"""Camera paths: motion, files, editor, video."""
