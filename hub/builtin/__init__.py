"""Backends that come with the hub."""
