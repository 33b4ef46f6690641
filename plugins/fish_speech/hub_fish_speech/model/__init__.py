"""The dual autoregressive language model: a slow transformer over frames and a fast one over the codes of a frame."""
