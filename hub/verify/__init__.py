"""Proof that a model speaks as it should: sentences, measures of what was spoken, and a verdict against bounds."""
