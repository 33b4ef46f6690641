"""The codecs of Fish Speech: sound <-> ids. Lives in the worker."""

from hub_fish_speech.codec.codec import Codec, CodecStream, load_codec

__all__ = ["Codec", "CodecStream", "load_codec"]
