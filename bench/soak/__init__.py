"""A long mixed load with worker kills, cancels and disconnects: nothing may be lost, nothing may grow.

`python -m bench.soak --minutes 30` prints a Markdown table, and exits with code 1 if a bound was exceeded.
"""
