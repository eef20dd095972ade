"""The image that tests and the demo run: Debian's busybox-static as a root file system.

`busybox_rootfs_tar()` makes it without root, without a network, and with the same bytes for the same busybox.
"""

from __future__ import annotations

import functools
import subprocess

from sampan.wire.tarstream import END_OF_ARCHIVE, Entry, Kind, encode_header, padding

BUSYBOX = "/bin/busybox"
_FOLDERS = {
    "bin": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "mnt": 0o755,
    "proc": 0o755,
    "root": 0o700,
    "sys": 0o755,
    "tmp": 0o1777,
    "usr": 0o755,
    "usr/bin": 0o755,
    "usr/sbin": 0o755,
    "var": 0o755,
    "var/spool": 0o755,
    "var/www": 0o755,
}
_FILES = {
    "etc/passwd": (
        0o644,
        "root:x:0:0:root:/root:/bin/sh\n"
        "daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
        "www-data:x:33:33:www-data:/var/www:/bin/false\n"
        "nobody:x:65534:65534:nobody:/home:/bin/false\n",
    ),
    "etc/group": (0o644, "root:x:0:\ndaemon:x:1:\nwheel:x:10:root\nwww-data:x:33:\nnogroup:x:65534:\n"),
    "etc/shadow": (0o640, "root:*::0:::::\nnobody:*::0:::::\n"),
    "etc/nsswitch.conf": (0o644, "passwd: files\ngroup: files\nhosts: files dns\n"),
    "var/www/index.html": (0o644, "<h1>Hello from a container</h1>\n"),
}


def available() -> bool:
    """Tell whether busybox-static is installed."""
    try:
        _applets()
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@functools.cache
def busybox_rootfs_tar() -> bytes:
    """Return the tar of a root file system with /bin/busybox, a link for every applet, users and folders."""
    parts: list[bytes] = []

    def add(entry: Entry, data: bytes = b"") -> None:
        parts.extend((encode_header(entry), data, padding(len(data))))

    for name, mode in _FOLDERS.items():
        add(Entry(name=name + "/", kind=Kind.DIRECTORY, mode=mode))
    with open(BUSYBOX, "rb") as file:
        busybox = file.read()
    add(Entry(name="bin/busybox", mode=0o755, size=len(busybox)), busybox)
    for applet in _applets():
        add(Entry(name=f"bin/{applet}", kind=Kind.SYMLINK, mode=0o777, linkname="busybox"))
    for name, (mode, text) in _FILES.items():
        data = text.encode()
        add(Entry(name=name, mode=mode, size=len(data)), data)
    parts.append(END_OF_ARCHIVE)
    return b"".join(parts)


def _applets() -> list[str]:
    listing = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True, timeout=30)
    return sorted(set(listing.stdout.split()) - {"busybox"})
