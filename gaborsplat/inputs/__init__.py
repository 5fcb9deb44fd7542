"""What commands are pointed at: runs and splat files, and how these are to be shown."""
