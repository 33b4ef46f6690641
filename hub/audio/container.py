"""The description of a container: its name, the formats that it can carry, and the encoder that writes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hub.contract.errors import InvalidRequest
from hub.contract.speech import AudioFormat

Samples = NDArray[np.float32]
"""Mono audio, (N,), 32-bit float in [-1, 1]; may be read-only."""


class Encoder(Protocol):
    """Packs one stream of mono audio. The bytes from `feed` and `finish`, joined, are the body.

    `media_type` and `extension` (without a dot) describe the body; `sample_rate` is the body's rate in Hz. Not
    thread-safe.
    """

    media_type: str
    extension: str
    sample_rate: int

    def feed(self, samples: Samples) -> bytes:
        """Add audio, (N,); return the bytes that can be sent now, maybe none."""
        ...

    def finish(self) -> bytes:
        """Return the rest of the body. `feed` must not be called afterwards."""
        ...

    def close(self) -> None:
        """Free all resources, finished or not. May be called again."""
        ...


EncoderFactory = Callable[[AudioFormat, int, bool], Encoder]
"""`factory(format, sample_rate, whole)` makes an encoder whose input and output are both at `sample_rate`."""


@dataclass(frozen=True)
class EncoderSpec:
    """A container for answers; plugins add theirs with `register_encoders`.

    `factory` gets a checked format, the rate of the audio that it will be fed (the hub resamples first), and `whole`:
    true when nothing is sent before `finish`, so that a header can state the exact length. `sample_rates` lists the
    rates it can carry, empty for any. `bitrates(sample_rate)` lists the kbit/s to choose from at a rate; None means no
    choice. `encodings` lists the sample encodings to choose from; empty means no choice.
    """

    name: str
    media_type: str
    extension: str
    factory: EncoderFactory
    sample_rates: tuple[int, ...] = ()
    bitrates: Callable[[int], Sequence[int]] | None = None
    encodings: tuple[str, ...] = ()

    def check(self, format: AudioFormat) -> None:
        """Raise InvalidRequest, listing the allowed values, if this container cannot carry `format`."""
        rate = format.sample_rate
        if rate is not None and self.sample_rates and rate not in self.sample_rates:
            raise self._refuse("sample_rate", rate, f"{rate} Hz", self.sample_rates, "Hz")
        if format.encoding not in (self.encodings or ("s16le",)):
            if not self.encodings:
                raise InvalidRequest(
                    f"{self.name} has no choice of sample encoding; leave out format.encoding, or use wav or pcm",
                    field="format.encoding",
                )
            raise self._refuse("encoding", format.encoding, format.encoding, self.encodings, "")
        if format.bitrate is not None:
            self._check_bitrate(format.bitrate, rate)

    def _check_bitrate(self, bitrate: int, rate: int | None) -> None:
        if self.bitrates is None:
            raise InvalidRequest(
                f"{self.name} has no bitrate to choose; leave out format.bitrate", field="format.bitrate"
            )
        if rate is not None:
            allowed, at = self.bitrates(rate), f" at {rate} Hz"
        else:
            allowed, at = sorted({bits for each in self.sample_rates for bits in self.bitrates(each)}), ""
        if bitrate not in allowed:
            raise self._refuse("bitrate", bitrate, f"{bitrate} kbit/s{at}", allowed, "kbit/s")

    def _refuse(self, field: str, value: Any, what: str, allowed: Sequence[Any], unit: str) -> InvalidRequest:
        if len(allowed) > 2 and isinstance(allowed[0], int) and allowed[-1] - allowed[0] == len(allowed) - 1:
            listed = f"anything from {allowed[0]} to {allowed[-1]} {unit}"
        else:
            listed = f"one of {', '.join(map(str, allowed))} {unit}".rstrip()
        return InvalidRequest(
            f"{self.name} cannot carry {what}; choose {listed}",
            field=f"format.{field}",
            value=value,
            allowed=list(allowed) if len(allowed) < 64 else {"min": allowed[0], "max": allowed[-1]},
        )

    def output_rate(self, format: AudioFormat, source_rate: int) -> int:
        """Return the body's rate: the requested one, else the source's own or the nearest above it that is possible.

        The rate can carry a requested bitrate. If no rate from the source's upwards is possible, it is the highest
        possible one. `format` has passed `check`.
        """
        if format.sample_rate is not None:
            return format.sample_rate
        if not self.sample_rates:
            return source_rate
        rates = sorted(self.sample_rates)
        if format.bitrate is not None and self.bitrates is not None:
            rates = [rate for rate in rates if format.bitrate in self.bitrates(rate)]
        return next((rate for rate in rates if rate >= source_rate), rates[-1])
