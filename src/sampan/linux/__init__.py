"""What Python's `os` lacks: system calls, ioctls, netlink, seccomp, as typed functions.

The only layer that knows ctypes, ioctl numbers and system call numbers; it knows nothing of containers. One
function is one system call, and a failure is an `OSError` that carries the operation and the path. Standard
library and system libraries only: shim and zygote live on this.
"""
