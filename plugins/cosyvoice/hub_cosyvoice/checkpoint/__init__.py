"""A checkpoint's files -> networks."""
