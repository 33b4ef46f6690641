"""Backends with one fault each, for test_conformance. A worker with the repository on its path can import them."""

import io
import itertools

import numpy as np
import soundfile
from msgspec import Struct
from msgspec.structs import replace

from hub.contract import AudioChunk, BackendSpec, Capabilities, Mark, Tokens, Voice
from hub.contract.errors import InvalidRequest, UnknownVoice, UnspeakableText, UnsupportedCapability

RATE = 16_000


class LooseOptions(Struct):
    loudness: float = 1.0


class NeedyOptions(Struct, forbid_unknown_fields=True):
    loudness: float


def noise(seed, seconds=0.1):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * RATE)).astype(np.float32)


class Sound:
    """A backend without a fault: noise, a tenth of a second for each word."""

    concurrency = 2
    capabilities = Capabilities(
        sample_rate=RATE, languages=("en",), preset_voices=True, streaming=True, speed=True, seed=True
    )

    def load(self, model):
        self.ballast = np.ones(1_000_000)

    def voices(self):
        return [Voice(id="one", default=True), Voice(id="two")]

    def make_voice(self, draft):
        raise UnsupportedCapability("no cloning here")

    def close(self):
        del self.ballast

    def pieces(self, request):
        """Yield (word, samples) of each word."""
        if not any(char.isalnum() for char in request.text):
            raise UnspeakableText("there is no word in this text")
        if request.voice not in (None, "one", "two"):
            raise UnknownVoice(f"there is no voice {request.voice}")
        for number, word in enumerate(request.text.split()):
            key = [ord(char) for char in f"{number}{word}{request.voice or 'one'}"]
            yield word, noise([request.seed or 0, *key], 0.1 / request.speed)

    def speak(self, request, stop):
        for _, samples in self.pieces(request):
            if stop.is_set():
                return
            yield AudioChunk.of(samples, RATE)


class DoesNotLoad(Sound):
    def load(self, model):
        raise OSError("no such file")


class NoRate(Sound):
    capabilities = Capabilities(preset_voices=True)


class WrongRate(Sound):
    def speak(self, request, stop):
        for _, samples in self.pieces(request):
            yield AudioChunk.of(samples, 2 * RATE)


class NotANumber(Sound):
    def speak(self, request, stop):
        yield AudioChunk.of(np.full(RATE, np.nan, np.float32), RATE)


class Silent(Sound):
    def speak(self, request, stop):
        yield AudioChunk.of(np.zeros(RATE, np.float32), RATE)


class TooLoud(Sound):
    def speak(self, request, stop):
        for _, samples in self.pieces(request):
            yield AudioChunk.of(samples * 30000, RATE)


class NoVoices(Sound):
    def voices(self):
        return []


class TwoOfAName(Sound):
    def voices(self):
        return [Voice(id="one"), Voice(id="one")]


class TwoDefaults(Sound):
    def voices(self):
        return [Voice(id="one", default=True), Voice(id="two", default=True)]


class OneVoiceForAll(Sound):
    def pieces(self, request):
        for word in request.text.split():
            yield word, noise(1)


class BadLanguage(Sound):
    capabilities = Capabilities(sample_rate=RATE, languages=("English (US)",), preset_voices=True)


class NotStreaming(Sound):
    def speak(self, request, stop):
        stop.is_set()
        yield AudioChunk.of(np.concatenate([samples for _, samples in self.pieces(request)]), RATE)


class DeafToStop(Sound):
    def speak(self, request, stop):
        for _, samples in self.pieces(request):
            yield AudioChunk.of(samples, RATE)


class DeafAndWhole(Sound):
    capabilities = Capabilities(sample_rate=RATE, preset_voices=True)

    def speak(self, request, stop):
        yield AudioChunk.of(np.concatenate([samples for _, samples in self.pieces(request)]), RATE)


class ForgetsSeed(Sound):
    count = itertools.count()

    def pieces(self, request):
        for word, _ in super().pieces(request):
            yield word, noise(next(self.count))


class SharedState(Sound):
    """Keeps the request in the synthesizer, which works for one request at a time."""

    def speak(self, request, stop):
        self.words = list(self.pieces(request))
        for index in range(len(self.words)):
            if stop.is_set():
                return
            yield AudioChunk.of(self.words[min(index, len(self.words) - 1)][1], RATE)


class OnePace(Sound):
    def pieces(self, request):
        for word, _ in super().pieces(request):
            yield word, noise(1)


class ChokesOnText(Sound):
    def pieces(self, request):
        request.text.encode("ascii")
        return super().pieces(request)


class DropsText(Sound):
    def pieces(self, request):
        return super().pieces(request) if request.text.isascii() else iter(())


class AnotherVoice(Sound):
    def pieces(self, request):
        voice = request.voice if request.voice in ("one", "two") else "one"
        for number, word in enumerate(request.text.split()):
            yield word, noise([number, *map(ord, word + voice)])


class VoiceCrash(Sound):
    def pieces(self, request):
        {"one": 1, "two": 2}[request.voice or "one"]
        return super().pieces(request)


class Moody(Sound):
    """Sounds different after a fault."""

    faults = 0

    def pieces(self, request):
        if request.voice == "no-such-voice":
            self.faults += 1
            raise UnknownVoice("there is no such voice")
        for number, word in enumerate(request.text.split()):
            yield word, noise([number, self.faults, *map(ord, word + (request.voice or "one"))])


class SpanOutside(Sound):
    def speak(self, request, stop):
        for _, samples in self.pieces(request):
            yield AudioChunk.of(samples, RATE, (0, len(request.text) + 1))


class MarkInSamples(Sound):
    def speak(self, request, stop):
        position = 0
        for word, samples in self.pieces(request):
            yield AudioChunk.of(samples, RATE)
            yield Mark(kind="word", start=position, end=position + len(samples), text=word)
            position += len(samples)


class Pickles(Sound):
    capabilities = Capabilities(sample_rate=RATE, cloning=True, preset_voices=True)

    def make_voice(self, draft):
        import pickle

        return pickle.dumps(draft)


class ClonesNothing(Sound):
    capabilities = Capabilities(sample_rate=RATE, cloning=True, preset_voices=True)

    def make_voice(self, draft):
        return b""

    def pieces(self, request):
        if request.references:
            raise ValueError("what is this?")
        return super().pieces(request)


class Hoards(Sound):
    kept = []

    def load(self, model):
        super().load(model)
        self.kept.append(np.ones(12_000_000))  # 96 MB at each load

    def close(self):
        pass


class Recorder(Sound):
    """A backend whose codec and conversion have no fault either: a token is a step of 1/64 of the full amplitude."""

    capabilities = Capabilities(
        sample_rate=RATE, preset_voices=True, cloning=True, seed=True, codec=True, conversion=True
    )

    def encode(self, audio):
        samples, rate = soundfile.read(io.BytesIO(audio), dtype="float32")
        positions = np.arange(len(samples) * RATE // rate) * rate // RATE
        return Tokens.of((samples[positions] * 63 + 64).astype(np.int32)[None])

    def decode(self, tokens):
        ids = np.frombuffer(tokens.ids, "<i4")
        if tokens.codebooks != 1 or ids.min() < 0 or ids.max() > 127:
            raise InvalidRequest("one codebook of 128 tokens")
        return AudioChunk.of(((ids - 64) / 63).astype(np.float32), RATE)

    def convert(self, request, stop):
        spoken = np.frombuffer(self.decode(self.encode(request.audio)).pcm, "<f4")
        spoken = spoken + noise([request.seed or 0], len(spoken) / RATE) * np.float32(0.01)
        for start in range(0, len(spoken), 1600):
            if stop.is_set():
                return
            yield AudioChunk.of(np.clip(spoken[start : start + 1600], -1, 1), RATE)


class NoTokens(Recorder):
    def encode(self, audio):
        return Tokens.from_rows([[]])


class MoodyCodec(Recorder):
    mood = 0

    def encode(self, audio):
        self.mood += 1
        return Tokens.from_rows([[self.mood] * 16000])


class OtherRate(Recorder):
    def decode(self, tokens):
        return replace(super().decode(tokens), sample_rate=8000)


class ShortCodec(Recorder):
    def decode(self, tokens):
        chunk = super().decode(tokens)
        return replace(chunk, pcm=chunk.pcm[: len(chunk.pcm) // 8 * 4])


class DecodesAnything(Recorder):
    def decode(self, tokens):
        return AudioChunk.of(noise([1], 1.0), RATE)


class ChokesOnTokens(Recorder):
    def decode(self, tokens):
        return AudioChunk.of((np.frombuffer(tokens.ids, "<i4").reshape(1, 16000) / 128).astype(np.float32), RATE)


class ForgetsSeedOfConversions(Recorder):
    times = 0

    def convert(self, request, stop):
        self.times += 1
        return super().convert(replace(request, seed=self.times), stop)


class ConvertsDeaf(Recorder):
    def convert(self, request, stop):
        class Deaf:
            def is_set(self):
                return False

        return super().convert(request, Deaf())


class NoInstruct(Sound):
    capabilities = Capabilities(sample_rate=RATE, instruct=True, preset_voices=True)

    def pieces(self, request):
        if request.instruct:
            raise NotImplementedError
        return super().pieces(request)


def spec(kind, **fields):
    return BackendSpec(
        name="broken",
        synthesizer=f"{__name__}:{kind.__name__}",
        contract=1,
        title="Broken",
        licence="none",
        capabilities=kind.capabilities,
        **fields,
    )
