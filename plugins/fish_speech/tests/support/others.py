"""The plugins that are installed beside this one."""

from importlib.metadata import entry_points

OTHER_PLUGINS = tuple(sorted({point.name for point in entry_points(group="hub.plugins")} - {"fish_speech"}))
"""Their names, for `plugins.disabled`: the tests of this family do not depend on them."""
