"""The same numbers are computed the same way wherever in memory they lie."""

import subprocess
import sys

PROGRAM = """
import hub.nn
import torch

torch.manual_seed(0)
x, weight = torch.randn(1, 1024), torch.randn(256 * 1024)

def multiplied(shift):
    memory = torch.empty(weight.numel() + 16)
    moved = memory[shift : shift + weight.numel()]
    moved.copy_(weight)
    return torch.nn.functional.linear(x, moved.view(256, 1024))

assert all(torch.equal(multiplied(shift), multiplied(0)) for shift in range(16))
"""


def test_where_a_weight_lies_changes_no_bit():
    # In a process of its own: MKL reads how it is to compute once, at its first use.
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
