"""A recording -> speech tokens, speaker embedding and mel, as CosyVoice's own front end computes them."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from hub.contract.errors import InvalidAudio, WorkerStartFailed
from hub.nn.features import kaldi_fbank, log_mel, whisper_log_mel
from hub.nn.recording import Recording
from hub_cosyvoice.config import Config
from hub_cosyvoice.model.acoustic_prompt import AcousticPrompt

log = logging.getLogger("hub_cosyvoice")

CUDA = "CUDAExecutionProvider"

CUDA_OPTIONS: dict[str, str | int] = {
    "cudnn_conv_algo_search": "HEURISTIC",  # the default tries all algorithms for every new length of a recording
    "arena_extend_strategy": "kSameAsRequested",  # the default doubles what it takes of the card
    "use_tf32": 0,  # the last digits decide on tokens
}

Provider = str | tuple[str, dict[str, str | int]]

RATE = 16_000
"""Hz, of the audio that the speech tokenizer and the speaker encoder get; recordings of a lower rate are refused."""

LONGEST = 30.0
"""Seconds, the longest recording that the speech tokenizer takes."""

SHORTEST = 0.1
"""Seconds; a shorter recording has no speech token or no mel frame."""

TOKENIZER_BANDS = 128


class Features:
    """The three extractors of one checkpoint. They are shared, and calls may run side by side.

    The ONNX parts are called by the position of their inputs and outputs: their names differ between exports.
    """

    def __init__(self, folder: Path, config: Config, device: torch.device) -> None:
        """Raises WorkerStartFailed if a file of `folder` is missing or not an ONNX model."""
        self._tokenizer = _open(folder / f"speech_tokenizer_v{config.generation}.onnx", device)
        self._speaker = _open(folder / "campplus.onnx", device)
        self._mel = config.mel
        self.sample_rate = config.sample_rate

    def prompt(self, recording: Recording) -> AcousticPrompt:
        """All three of a recording, untrimmed.

        Raises InvalidAudio for a rate under 16 kHz, over 30 s of audio, or hardly any.
        """
        wave = self.listen(recording)
        return AcousticPrompt(
            tokens=self.speech_tokens(wave),
            mel=self.prompt_mel(recording.at(self.sample_rate)),
            embedding=self.embedding(wave),
        )

    def listen(self, recording: Recording) -> Tensor:
        """A recording -> (N,) at 16 kHz. Raises InvalidAudio as `prompt` does."""
        if recording.sample_rate < RATE:
            raise InvalidAudio(f"the recording has {recording.sample_rate} Hz; it must have at least {RATE}")
        seconds = recording.seconds
        if seconds > LONGEST:
            raise InvalidAudio(f"the recording is {seconds:.1f} s long; at most {LONGEST:.0f} s can be used")
        if seconds < SHORTEST:
            raise InvalidAudio(f"the recording is {seconds:.2f} s long; at least {SHORTEST} s are needed")
        return recording.at(RATE)

    def speech_tokens(self, wave: Tensor) -> Tensor:
        """16 kHz audio (N,) -> token ids (T,) int64."""
        return self.tokens_of(self.tokenizer_mel(wave))

    def embedding(self, wave: Tensor) -> Tensor:
        """16 kHz audio (N,) -> (192,)."""
        return self.embedding_of(self.fbank(wave))

    def prompt_mel(self, wave: Tensor) -> Tensor:
        """Audio (N,) at the model's rate -> natural-log mel (F, 80)."""
        mel = log_mel(
            wave,
            sample_rate=self._mel["sampling_rate"],
            n_fft=self._mel["n_fft"],
            window=self._mel["win_size"],
            hop=self._mel["hop_size"],
            bands=self._mel["num_mels"],
            low=float(self._mel["fmin"]),
            high=float(self._mel["fmax"]) if self._mel.get("fmax") else None,
        )
        return mel.T.contiguous()

    @staticmethod
    def tokenizer_mel(wave: Tensor) -> Tensor:
        """16 kHz audio (N,) -> Whisper's log mel (128, frames), 100 frames a second."""
        return whisper_log_mel(wave, TOKENIZER_BANDS)

    @staticmethod
    def fbank(wave: Tensor) -> Tensor:
        """16 kHz audio (N,) -> Kaldi's fbank (frames, 80) less its mean over time."""
        frames = kaldi_fbank(wave)
        return frames - frames.mean(dim=0, keepdim=True)

    def tokens_of(self, mel: Tensor) -> Tensor:
        """Whisper's log mel (128, frames) -> token ids (T,) int64."""
        feats, lengths = self._tokenizer.get_inputs()[:2]
        fed = {feats.name: mel[None].numpy(), lengths.name: np.array([mel.shape[1]], dtype=np.int32)}
        found = np.asarray(self._tokenizer.run(None, fed)[0])
        return torch.from_numpy(found.reshape(-1).astype(np.int64))

    def embedding_of(self, frames: Tensor) -> Tensor:
        """fbank (frames, 80) -> (192,)."""
        found = np.asarray(self._speaker.run(None, {self._speaker.get_inputs()[0].name: frames[None].numpy()})[0])
        return torch.from_numpy(found.reshape(-1).astype(np.float32))


def _open(path: Path, device: torch.device) -> onnxruntime.InferenceSession:
    """An ONNX model on `device`, if onnxruntime can compute there, else on the CPU, which the log says."""
    if not path.is_file():
        raise WorkerStartFailed(f"the checkpoint has no {path.name}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # these models are small; threads of their own would only disturb torch's
    options.log_severity_level = 3
    offered = device.type == "cuda" and CUDA in onnxruntime.get_available_providers()
    providers: list[Provider] = ["CPUExecutionProvider"]
    if offered:
        providers.insert(0, (CUDA, {**CUDA_OPTIONS, "device_id": device.index or 0}))
    try:
        session = onnxruntime.InferenceSession(str(path), sess_options=options, providers=providers)
    except Exception as error:  # onnxruntime's own exceptions have no common base of use
        raise WorkerStartFailed(f"{path.name} cannot be read as an ONNX model: {type(error).__name__}") from error
    if device.type == "cuda" and session.get_providers()[0] != CUDA:
        why = "its CUDA provider does not start" if offered else "it is the build for the CPU: see the extra [cuda]"
        log.warning("%s is computed on the CPU by onnxruntime %s; %s", path.name, onnxruntime.__version__, why)
    return session
