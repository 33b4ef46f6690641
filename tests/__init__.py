"""The hub's own tests."""
