"""Requests of CosyVoice's own `runtime/python/fastapi/client.py`, recorded from the wire: GET with a body."""

import io
import wave

import numpy as np

BOUNDARY = "532bcba4f685bd624213da840befe498"

HEAD = (
    "GET {path} HTTP/1.1\r\n"
    "Host: 127.0.0.1:50000\r\n"
    "User-Agent: python-requests/2.34.2\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
    "Accept: */*\r\n"
    "Connection: keep-alive\r\n"
    "Content-Length: {length}\r\n"
    "Content-Type: {kind}\r\n\r\n"
)

FORM = "application/x-www-form-urlencoded"
SFT = b"tts_text=%E4%BD%A0%E5%A5%BD%E3%80%82&spk_id=spk_a"
INSTRUCT = b"tts_text=%E4%BD%A0%E5%A5%BD%E3%80%82&spk_id=spk_a&instruct_text=Happy."


def recording(seconds: float = 1.5, rate: int = 16_000) -> bytes:
    """A WAV file with a tone that comes and goes."""
    time = np.arange(int(seconds * rate)) / rate
    tone = 0.3 * np.sin(2 * np.pi * 180 * time) * (1 + np.sin(2 * np.pi * 3 * time)) / 2
    packed = io.BytesIO()
    with wave.open(packed, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((tone * 32767).astype("<i2").tobytes())
    return packed.getvalue()


def plain(path: str, body: bytes) -> bytes:
    """Modes sft and instruct."""
    return HEAD.format(path=path, length=len(body), kind=FORM).encode() + body


def with_recording(path: str, texts: dict[str, str], audio: bytes) -> bytes:
    """Modes zero_shot and cross_lingual."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
        for name, text in texts.items()
    ]
    parts += [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="prompt_wav"; filename="prompt_wav"\r\n'.encode(),
        b"Content-Type: application/octet-stream\r\n\r\n" + audio + b"\r\n",
        f"--{BOUNDARY}--\r\n".encode(),
    ]
    body = b"".join(parts)
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return HEAD.format(path=path, length=len(body), kind=kind).encode() + body
