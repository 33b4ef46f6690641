"""The lock of captures: one process captures one CUDA graph at a time, and frees no caches meanwhile."""

import threading

CAPTURE_LOCK = threading.RLock()
"""Held while a graph is captured, and by everything that CUDA forbids during a capture anywhere in the process."""
