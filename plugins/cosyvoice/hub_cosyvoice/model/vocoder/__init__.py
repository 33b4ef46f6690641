"""The vocoder of each generation: mel -> samples."""
