"""Engines run synthesizers: in a worker process (`process`) or, for tests, in this one (`inline`)."""
