"""Kernels in Cython and C++: text to columns, arrival order, batches, prices. They do no I/O and import nothing else of ours.

Each NAME.pyx has its reference in NAME.pyi; `rules` and `records` are the plain values that they share.
"""
