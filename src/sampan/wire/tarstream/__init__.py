"""Tar archives, read and written: ustar, pax, GNU long names, GNU sparse files, base-256 numbers.

Owns the format and nothing of the file system: a name is handed out as it stands in the archive, and the
caller decides what it means. Reads a stream once, front to back, in bounded memory whatever the archive says.
The rules are those of Go's archive/tar where readers differ, since that is what Docker accepts. Standard
library only.

Not Python's tarfile, because a layer's exact bytes have to be made again later (every byte that is not a
file's content is handed to the caller), and because tarfile guesses where a hostile archive should be
refused.
"""

from sampan.wire.tarstream.entry import Entry, Kind, Segment, TarError
from sampan.wire.tarstream.reader import ByteSource, IteratorSource, TarReader
from sampan.wire.tarstream.writer import END_OF_ARCHIVE, encode_header, padding

__all__ = [
    "END_OF_ARCHIVE",
    "ByteSource",
    "Entry",
    "IteratorSource",
    "Kind",
    "Segment",
    "TarError",
    "TarReader",
    "encode_header",
    "padding",
]
