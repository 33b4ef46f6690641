"""Every synthesizer of this repository is what the contract says, without a cast, an Any or an ignore.

mypy reads this file (`[tool.mypy] files`); nothing runs it. `tests/test_typed.py` finds every backend in it, and reads
the tutorial's synthesizer in the same way.
"""

from hub_cosyvoice.synthesizer import CosyVoice
from hub_fish_speech.synthesizer import FishSpeech
from hub_gpt_sovits.synthesizer import GptSovits
from hub_higgs_audio.synthesizer import HiggsAudio

from hub.builtin.hibari.synthesizer import HibariSynthesizer
from hub.contract import Codec, Converter, Live, Mixer, Synthesizer
from hub.testing.probe import Probe
from hub.testing.tone.synthesizer import Tone

cosyvoice: Synthesizer = CosyVoice()
fish_speech: Synthesizer = FishSpeech()
gpt_sovits: Synthesizer = GptSovits()
hibari: Synthesizer = HibariSynthesizer()
higgs_audio: Synthesizer = HiggsAudio()
probe: Synthesizer = Probe()
tone: Synthesizer = Tone()

cosyvoice_live: Live = CosyVoice()
fish_speech_live: Live = FishSpeech()
tone_live: Live = Tone()

fish_speech_codec: Codec = FishSpeech()
higgs_audio_codec: Codec = HiggsAudio()
tone_codec: Codec = Tone()

cosyvoice_converter: Converter = CosyVoice()
tone_converter: Converter = Tone()

tone_mixer: Mixer = Tone()
