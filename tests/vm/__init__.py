"""`make test-vm`: the tests that depend on the kernel, in a virtual machine that has nothing but cgroup v2.

    image.py     a disk with Debian, its kernel and systemd, from packages by name; one with the checkout
    machine.py   QEMU in software emulation, and what the guest says over its serial ports
    guest        what systemd runs in there: pytest, its result, power off
    test_*.py    containers from end to end under limits; they run on any host, so `make test` runs them too

`python -m tests.vm [pytest arguments]` runs other tests there than the usual ones.
Needs x86_64, root, and the packages that `scripts/packages vm` installs; no KVM, no network in the guest.
"""
