"""Blocks of torch that the model families share. Imported on the worker's side only."""

import os

# Without this, MKL chooses how to multiply a matrix by a vector by their addresses in memory, and the same seed gives
# audio that differs in its last bits from one request to the next. It costs nothing measurable. MKL reads it at its
# first use, so it is set before any model computes; a value that the operator has set stays.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
