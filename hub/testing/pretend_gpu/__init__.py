"""A GPU that is not there, for tests: tensors that say `cuda:N` and compute on the CPU, under CUDA's rules.

    from hub.testing.pretend_gpu import pretend_gpu

    with pretend_gpu() as gpu, gpu.counted() as counts:
        ...                     # torch.cuda.is_available() is true, torch.zeros(3, device="cuda:1") works
    assert counts.captures == 0

What CUDA refuses, or gets wrong without a word, is a `RuleBroken` (hub.testing.pretend_gpu.rules) that names the rule:
mixed devices; waiting for the device, copies and shapes that depend on data inside a capture; work on another stream
than the capture's; two captures at once; `synchronize` and `empty_cache` during one. A replay runs what was recorded in
the memory where it was recorded. Not modelled: time, races between streams, and what a kernel rounds differently.
"""

from hub.testing.pretend_gpu.counts import Counts
from hub.testing.pretend_gpu.machine import PretendGpu
from hub.testing.pretend_gpu.rules import RuleBroken
from hub.testing.pretend_gpu.switch import gpu, pretend_gpu

__all__ = ["Counts", "PretendGpu", "RuleBroken", "gpu", "pretend_gpu"]
