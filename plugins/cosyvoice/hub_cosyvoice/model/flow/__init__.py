"""The flow of each generation: speech tokens and a prompt -> mel."""
