"""Plugins: the hooks they may implement (`spec`) and how they are found (`manager`)."""
