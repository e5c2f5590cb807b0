"""The engine `fast`: few passes over memory on a CPU, in kernels of its own or, without a compiler, in torch."""
