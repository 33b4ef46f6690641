"""Blocks of torch that the model families share. Imported on the worker's side only."""
