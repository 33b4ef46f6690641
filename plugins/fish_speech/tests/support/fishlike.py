"""The routes of Fish Speech in front of the tone backend, which is up at once and can be made to fail."""

from hub_fish_speech.routes import make_routes

from hub.plugin.spec import hookimpl


class fishlike:  # noqa: N801
    """A plugin; its name is that of its class."""

    @staticmethod
    @hookimpl
    def register_routes(hub):
        """The handlers."""
        return make_routes(hub, "tone")
