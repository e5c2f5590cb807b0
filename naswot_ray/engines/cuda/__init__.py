"""The engine `cuda`: architectures of one space in lockstep on a GPU.

A network's program (`naswot_ray.network.program`) is lowered to rows of job tables (`jobs`); the rows of a group of
architectures are merged (`group`), and everything of one kind that is ready at the same step becomes one launch of a Triton
kernel (`kernels`) with the architecture in its grid. So the number of launches depends on the space's depth, not on the number
of architectures.

Measures are taken of the codes, and of the values that ReLUs read, which `values` has stored where a program does not. What was
found comes to the host in `results`.
"""
