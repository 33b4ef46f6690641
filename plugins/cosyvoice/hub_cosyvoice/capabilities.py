"""The declaration of the backend, which holds until a checkpoint is loaded."""

from __future__ import annotations

from hub.contract.backend import Capabilities

BACKEND = "cosyvoice"

LANGUAGES: dict[int, tuple[str, ...]] = {
    1: ("zh", "en", "ja", "yue", "ko"),
    2: ("zh", "en", "ja", "ko"),
    3: ("zh", "en", "ja", "ko", "de", "es", "fr", "it", "ru"),
}
"""The languages of each generation. A request names a dialect of Chinese in `instruct`."""

CAPABILITIES = Capabilities(
    sample_rate=24_000,
    languages=tuple(dict.fromkeys(language for spoken in LANGUAGES.values() for language in spoken)),
    preset_voices=True,
    cloning=True,
    cross_lingual=True,
    max_reference=30.0,
    prepared_suffices=True,
    instruct=True,
    streaming=True,
    live_text=True,
    speed=True,
    seed=True,
    sampling=True,
    conversion=True,
)
"""The family's. A loaded model declares its own rate, languages and presets, and whether it follows instructions.

The prepared state suffices: it holds the speech tokens, the mel, the speaker embedding and the transcript of the
recordings that fit, and no mode reads anything else of a stored voice (see `voices.packed`).
"""
