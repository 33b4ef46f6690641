"""The networks: the language model with its sampling and delay pattern, and the codec. Imported in workers only."""
