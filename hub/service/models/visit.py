"""Visit: a request at a model, from its place in the lane to the moment when the model is through with it."""

from __future__ import annotations

from collections.abc import Callable

from hub.contract.backend import Loaded
from hub.service.models.lane import Place
from hub.service.models.ledger import Ledger


class Visit:
    """Made by `Model.visit`, which ends it with its block, unless something outlasts the block."""

    def __init__(self, place: Place, ledger: Ledger, loaded: Loaded) -> None:
        self.loaded = loaded
        self.outlasts = False
        self._place = place
        self._ledger = ledger
        ledger.work_began()

    def outlast(self) -> Callable[[], None]:
        """Go on when the block ends well: what is returned ends the visit, once a stream or a call is over."""
        self.outlasts = True
        return self.end

    def end(self) -> None:
        """The model is through with the request."""
        self._place.leave()
        self._ledger.work_ended()
