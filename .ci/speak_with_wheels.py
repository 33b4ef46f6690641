"""Let the wheels of every family speak, each on a tiny checkpoint.

    python .ci/speak_with_wheels.py TTSHUB FOLDER

TTSHUB is the command in the environment of the wheels. This environment, which has what the tests need, writes the
checkpoints, a recording to speak like, and hub.toml into FOLDER. Each model speaks in a process of its own.
"""

import importlib
import json
import math
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SAID = "你好，世界真美好。"


def main(ttshub: str, folder: Path) -> None:
    """Write the models, then speak with each. Raises CalledProcessError, AssertionError."""
    sys.path.insert(0, str(ROOT))
    families = sorted(path.parents[2].name for path in ROOT.glob("plugins/*/tests/support/tiny.py"))
    assert families, "no plugin has a tests/support/tiny.py"
    models: dict[str, dict[str, Any]] = {"hibari": {"backend": "hibari"}}
    for family in families:
        tiny = importlib.import_module(f"plugins.{family}.tests.support.tiny")
        (folder / family).mkdir(parents=True)
        models[family] = tiny.tiny_model(folder / family)
    tables = [toml(f"models.{name}", keys) for name, keys in models.items()]
    (folder / "hub.toml").write_text(f"data = {json.dumps(str(folder / 'data'))}\n" + "".join(tables))
    write_hum(folder / "speaker.wav")
    config = ["--config", str(folder / "hub.toml")]
    run(folder, ttshub, "plugins", *config)
    run(folder, ttshub, "voices", "add", "speaker", "speaker.wav", "--text", SAID, "--language", "zh", *config)
    for name in models:
        text = ["Hello from the wheel."] if name == "hibari" else [SAID, "--voice", "speaker"]
        run(folder, ttshub, "say", *text, "--model", name, "--out", f"{name}.wav", *config)
        with wave.open(str(folder / f"{name}.wav")) as spoken:
            assert spoken.getnframes() > spoken.getframerate() / 20, (name, spoken.getparams())


def write_hum(path: Path, seconds: int = 4, rate: int = 16_000) -> None:
    """A hum that swells, as a WAV: a recording to speak like."""
    time = [number / rate for number in range(seconds * rate)]
    samples = [6000 * math.sin(2 * math.pi * 120 * at) * (1 + math.sin(2 * math.pi * 3 * at)) for at in time]
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(b"".join(round(sample).to_bytes(2, "little", signed=True) for sample in samples))


def toml(name: str, keys: dict[str, Any]) -> str:
    """A TOML table; values are written as JSON writes them, which TOML reads."""
    inner = {key: value for key, value in keys.items() if isinstance(value, dict)}
    own = [f"{key} = {json.dumps(value)}\n" for key, value in keys.items() if key not in inner]
    return f"[{name}]\n{''.join(own)}" + "".join(toml(f"{name}.{key}", value) for key, value in inner.items())


def run(folder: Path, *command: str) -> None:
    """Run `command` in `folder`, away from the sources."""
    subprocess.run(command, cwd=folder, check=True, timeout=600)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).absolute())
