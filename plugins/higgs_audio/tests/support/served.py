"""What tests of routes serve and send: a tiny model in a hub, and recordings."""

import io

import numpy as np
import soundfile

from hub.settings import ModelSettings


def served(folder):
    """The settings of a tiny checkpoint in `folder`, whose replies are short."""
    return ModelSettings(
        backend="higgs_audio",
        path=str(folder),
        device="cpu",
        options={"max_new_tokens": 40},
        env={"OMP_NUM_THREADS": "1"},
    )


def recording(pitch=140.0, seconds=1.0):
    """A WAV of a tone."""
    time = np.arange(round(24_000 * seconds)) / 24_000
    file = io.BytesIO()
    soundfile.write(file, (0.3 * np.sin(2 * np.pi * pitch * time)).astype(np.float32), 24_000, format="WAV")
    return file.getvalue()
