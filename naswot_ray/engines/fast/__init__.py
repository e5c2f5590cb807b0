"""The engine `fast` runs networks on a CPU in few passes over memory: in C++ kernels, or in torch if there is no compiler."""
