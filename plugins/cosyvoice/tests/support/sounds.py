"""The comparison of two sounds of CosyVoice."""

from hub.testing.sounds import Sound, alike

ROUNDED = 0.1
"""A share of full scale. A mel that differs in its seventh digit moves the pitch, and the phase adds that up for a
second: 0.06 has occurred. Other voices, seeds and schemes differ by more than this, somewhere in an utterance."""


def same_sound(one: Sound, other: Sound) -> bool:
    """True if two sounds differ by no more than the effect of rounding after the vocoder."""
    return alike(one, other, ROUNDED)
