"""The backend's own options, of a request and of a model, and the errors for invalid ones."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct

from hub.contract.backend import ModelConfig
from hub.contract.conversion import ConversionRequest
from hub.contract.errors import InvalidRequest, WorkerStartFailed
from hub.contract.speech import SpeechRequest

T = TypeVar("T", bound=Struct)


def request_options(request: SpeechRequest | ConversionRequest, kind: type[T]) -> T:
    """Return `request.options` as the backend's Struct. Raises InvalidRequest."""
    try:
        return msgspec.convert(request.options, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"options: {error}", field="options") from error


def load_options(model: ModelConfig, kind: type[T]) -> T:
    """Return `[models.NAME.options]` as the backend's Struct. Raises WorkerStartFailed if they are invalid."""
    try:
        return msgspec.convert(model.options, kind)
    except msgspec.ValidationError as error:
        raise WorkerStartFailed(f"models.{model.name}.options: {error}") from error
