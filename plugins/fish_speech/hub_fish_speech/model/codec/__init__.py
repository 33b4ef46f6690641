"""The codecs of Fish Speech: sound <-> codes."""
