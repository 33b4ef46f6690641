"""Text ids -> speech tokens: the loops over a language model, and how they choose each token."""
