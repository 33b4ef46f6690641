"""All errors that reach a caller, each with a stable code and an HTTP status.

    HubError
    ├── InvalidRequest            400  invalid_request
    │   ├── EmptyText             400  empty_text
    │   ├── UnspeakableText       400  unspeakable_text
    │   ├── InvalidAudio          400  invalid_audio
    │   └── UnsupportedCapability 400  unsupported_capability
    ├── Unauthorized              401  unauthorized
    ├── Forbidden                 403  forbidden
    ├── NotFound                  404  not_found
    │   ├── UnknownModel          404  unknown_model
    │   ├── UnknownVoice          404  unknown_voice
    │   └── UnknownScene          404  unknown_scene
    ├── MethodNotAllowed          405  method_not_allowed
    ├── NotAcceptable             406  not_acceptable
    ├── Conflict                  409  conflict
    ├── TooLarge                  413  too_large
    ├── UnsupportedMediaType      415  unsupported_media_type
    ├── Busy                      429  queue_full
    │   └── RateLimited           429  rate_limited
    ├── Cancelled                 499  cancelled
    ├── InternalError             500  internal_error
    │   └── BackendFailed         500  backend_failed
    ├── EmptyAudio                502  empty_audio
    ├── StorageFailed             507  storage_failed
    └── Unavailable               503  unavailable
        ├── DeadlineExceeded      503  deadline_exceeded
        ├── BackendCrashed        503  backend_crashed
        ├── BackendUnavailable    503  backend_unavailable
        ├── OutOfMemory           503  out_of_memory
        └── WorkerStartFailed     503  worker_start_failed

A HubError's `message` says what was wrong and what to do. It may be shown to any client: it holds no path and no
traceback. `detail` holds the same as data. `retry_after` (seconds) becomes the `Retry-After` header.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from hub.contract.event import Fault


class HubError(Exception):
    """Base of all errors that reach a caller. Subclasses set `code` and `status`."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, retry_after: float | None = None, **detail: Any) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.retry_after = retry_after

    def to_fault(self) -> Fault:
        """Return this error as data, with `retry_after` in its detail."""
        detail = dict(self.detail)
        if self.retry_after is not None:
            detail["retry_after"] = self.retry_after
        return Fault(code=self.code, message=self.message, detail=detail)


class InvalidRequest(HubError):
    """The request is malformed, or a value is out of range."""

    code, status = "invalid_request", 400


class EmptyText(InvalidRequest):
    """There is no text to speak."""

    code = "empty_text"


class UnspeakableText(InvalidRequest):
    """The text has nothing that can be said: only punctuation or emoji, or a script the model cannot read."""

    code = "unspeakable_text"


class InvalidAudio(InvalidRequest):
    """An uploaded recording cannot be used: not audio, damaged, too long, too short, too many channels."""

    code = "invalid_audio"


class UnsupportedCapability(InvalidRequest):
    """The model cannot do what the request asks for."""

    code = "unsupported_capability"


class Unauthorized(HubError):
    """The API key is missing or unknown."""

    code, status = "unauthorized", 401


class Forbidden(HubError):
    """The caller is known but may not do this."""

    code, status = "forbidden", 403


class NotFound(HubError):
    """The route, or the thing it names, does not exist."""

    code, status = "not_found", 404


class UnknownModel(NotFound):
    """No model has this name."""

    code = "unknown_model"


class UnknownVoice(NotFound):
    """The model has no voice of this id. Never answered with another voice."""

    code = "unknown_voice"


class UnknownScene(NotFound):
    """No scene has this id."""

    code = "unknown_scene"


class MethodNotAllowed(HubError):
    """The route does not support this HTTP method."""

    code, status = "method_not_allowed", 405


class NotAcceptable(HubError):
    """The hub cannot answer in any of the requested representations."""

    code, status = "not_acceptable", 406


class Conflict(HubError):
    """The request contradicts what is stored."""

    code, status = "conflict", 409


class TooLarge(HubError):
    """The text, an upload or the whole body is over its limit."""

    code, status = "too_large", 413


class UnsupportedMediaType(HubError):
    """The route does not read bodies of this content type."""

    code, status = "unsupported_media_type", 415


class Busy(HubError):
    """The model's queue is full; `Retry-After` is computed from the model's pace."""

    code, status = "queue_full", 429


class RateLimited(Busy):
    """This API key has used up its requests or its audio seconds for now."""

    code = "rate_limited"


class Cancelled(HubError):
    """The request was cancelled, by its caller or because its caller stopped reading."""

    code, status = "cancelled", 499


class InternalError(HubError):
    """A fault of the hub itself. The log has the traceback under the request id."""


class BackendFailed(InternalError):
    """The backend raised an unexpected error. The log has the traceback under the request id."""

    code = "backend_failed"


class EmptyAudio(HubError):
    """The model gave no usable audio: nothing, under 50 ms, only silence, or NaN or infinite samples."""

    code, status = "empty_audio", 502


class StorageFailed(HubError):
    """The hub cannot write or read the data folder: the disk is full, read-only, or not accessible to it."""

    code, status = "storage_failed", 507


class Unavailable(HubError):
    """The hub cannot do this now; try later."""

    code, status = "unavailable", 503


class DeadlineExceeded(Unavailable):
    """The request waited longer than the model's `deadline` for its turn or its first audio."""

    code = "deadline_exceeded"


class BackendCrashed(Unavailable):
    """The model's worker process died while it worked on the request; a new one is being started."""

    code = "backend_crashed"


class BackendUnavailable(Unavailable):
    """The model's worker keeps crashing, or the hub is stopping; the hub makes no new attempt for a while."""

    code = "backend_unavailable"


class OutOfMemory(Unavailable):
    """The model's device has too little free memory, for the request or for the model itself."""

    code = "out_of_memory"


class WorkerStartFailed(Unavailable):
    """The model's worker could not start: an import failed, the weights are missing, or it took too long."""

    code = "worker_start_failed"


def all_errors() -> list[type[HubError]]:
    """Return every error class, bases first, in the order of the tree above."""
    found: list[type[HubError]] = []

    def walk(kind: type[HubError]) -> None:
        found.append(kind)
        for child in kind.__subclasses__():
            if child.__module__ == __name__:
                walk(child)

    for child in HubError.__subclasses__():
        if child.__module__ == __name__:
            walk(child)
    return found


def from_fault(fault: Fault) -> HubError:
    """Return the exception of a Fault; an unknown code becomes BackendFailed, with the code in `detail`."""
    detail = dict(fault.detail)
    retry_after = detail.pop("retry_after", None)
    if not isinstance(retry_after, int | float):
        retry_after = None
    for kind in all_errors():
        if kind.code == fault.code:
            error = kind(fault.message, retry_after=retry_after)
            error.detail = detail
            return error
    error = BackendFailed(fault.message, retry_after=retry_after)
    error.detail = {**detail, "backend_code": fault.code}
    return error


def few(names: Iterable[str]) -> str:
    """Join names for a message, at most 30 of them."""
    names = list(names)
    more = f" and {len(names) - 30} more" if len(names) > 30 else ""
    return (", ".join(names[:30]) or "none") + more
