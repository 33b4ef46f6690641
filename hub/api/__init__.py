"""The hub over HTTP. Litestar lives here, and in the plugins' own routes."""
