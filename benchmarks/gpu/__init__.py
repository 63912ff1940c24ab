"""The GPU path against loops by hand: speed, training, grids, digits and memory.

``python -m benchmarks.gpu [stage ...]`` runs on a CUDA card. Each contestant has a
process of its own, since a torch DataLoader changes the number of threads that the rest
of its process computes with. ``--small`` runs everything with tiny numbers on the CPU:
it shows that the benchmark works, and judges nothing.
"""
