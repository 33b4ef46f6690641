"""The networks: language models, flow, vocoder, and the features of a recording."""
