"""Plugins that come with the hub."""
