"""Policy: which model, which voice, in which order, and what counts as an answer."""
