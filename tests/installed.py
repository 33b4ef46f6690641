"""What is installed beside the hub: tests of the hub alone leave it out."""

import importlib.metadata

PLUGINS = tuple(sorted({point.name for point in importlib.metadata.entry_points(group="hub.plugins")}))
"""Every installed plugin, the embedded voice's among them."""

FAMILIES = tuple(name for name in PLUGINS if name != "hibari")
"""The others: the families of this repository, and whatever else there is."""
