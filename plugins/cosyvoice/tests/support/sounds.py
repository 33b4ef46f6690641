"""When two sounds of CosyVoice are the same one."""

from hub.testing.sounds import Sound, alike

ROUNDED = 0.1
"""Of full scale. A mel that differs in its seventh digit moves the pitch, and phase adds that up for a second: 0.06 was
seen. Other voices, seeds and schemes are further apart than this, somewhere in an utterance."""


def same_sound(one: Sound, other: Sound) -> bool:
    """Whether two sounds differ by no more than what rounding becomes on the way through the vocoder."""
    return alike(one, other, ROUNDED)
