"""Visit: a request at a model, from its place in the lane until the model is through with it."""

from __future__ import annotations

from collections.abc import Callable

from hub.contract.backend import Loaded
from hub.service.models.lane import Place
from hub.service.models.ledger import Ledger


class Visit:
    """A visit. `Model.visit` ends it with its block, unless the block calls `outlast`."""

    def __init__(self, place: Place, ledger: Ledger, loaded: Loaded) -> None:
        self.loaded = loaded
        self.outlasts = False
        self._place = place
        self._ledger = ledger
        ledger.work_began()

    def outlast(self) -> Callable[[], None]:
        """Let the visit outlast its block, unless that raises. Return the function that ends it, to be called later."""
        self.outlasts = True
        return self.end

    def end(self) -> None:
        """Leave the place: the model is through with the request."""
        self._place.leave()
        self._ledger.work_ended()
