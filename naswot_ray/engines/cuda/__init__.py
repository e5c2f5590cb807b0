"""The engine `cuda` runs many architectures of one space in lockstep on a GPU.

A network's program (`naswot_ray.network.program`) becomes rows of job tables (`jobs`), and the rows of a group of architectures
are merged (`group`). All jobs of one kind that are ready at the same step become one launch of a Triton kernel (`kernels`),
whose grid runs over the architectures. So the number of launches depends on the depth of the space's networks, not on the
number of architectures.

Measures need the codes and sometimes the values that ReLUs read. `values` makes a program store those that it would not store
by itself. `results` copies what was found to the host.
"""
