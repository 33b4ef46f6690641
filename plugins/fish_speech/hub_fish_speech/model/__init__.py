"""The networks: the dual autoregressive language model (`dual_ar`), and the codecs (`codec`)."""
