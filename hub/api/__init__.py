"""The HTTP API. Litestar is used here and in the routes of plugins."""
