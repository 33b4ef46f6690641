"""Engines, which run synthesizers, each in a worker process of its own."""
