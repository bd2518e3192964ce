"""What a run claims, recomputed from its inputs by a slow path that shares no code with the kernels."""
