"""A scene as one page, which any browser shows with no server."""
