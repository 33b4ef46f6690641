"""Blocks of torch that the model families share. Imported on the worker's side only."""

import os

# Without it MKL multiplies a matrix by a vector one way or another by where in memory they lie, and the same seed gives
# audio that differs in its last bits from one request to the next. It costs nothing measurable. MKL reads it at its
# first use, so it is set before any model computes; who has set it otherwise keeps what they set.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
