"""A tiny model as tests serve it, and the recordings that they send."""

import importlib.metadata
import io

import numpy as np
import soundfile

from hub.settings import ModelSettings, PluginSettings


def served(folder):
    """The settings of a tiny checkpoint in `folder`, whose replies are short."""
    return ModelSettings(
        backend="higgs_audio",
        path=str(folder),
        device="cpu",
        options={"max_new_tokens": 40},
        env={"OMP_NUM_THREADS": "1"},
    )


def alone():
    """No installed plugin but this one."""
    points = importlib.metadata.entry_points(group="hub.plugins")
    return PluginSettings(disabled=tuple(sorted({point.name for point in points} - {"higgs_audio"})))


def recording(pitch=140.0, seconds=1.0):
    """A WAV of a tone."""
    time = np.arange(round(24_000 * seconds)) / 24_000
    file = io.BytesIO()
    soundfile.write(file, (0.3 * np.sin(2 * np.pi * pitch * time)).astype(np.float32), 24_000, format="WAV")
    return file.getvalue()


def write_examples(folder):
    """The folders of voices and scenes that users of Higgs Audio have, below `folder`."""
    voices, scenes = folder / "voice_prompts", folder / "scene_prompts"
    voices.mkdir(parents=True)
    scenes.mkdir()
    for name, pitch in (("belinda", 200), ("broom", 110)):
        (voices / f"{name}.wav").write_bytes(recording(pitch))
        (voices / f"{name}.txt").write_text(f"I am {name}.\n")
    (scenes / "quiet_indoor.txt").write_text("Audio is recorded from a quiet room.\n")
    return folder
