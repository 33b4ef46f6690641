"""Tiny checkpoints, and what several test files share."""
