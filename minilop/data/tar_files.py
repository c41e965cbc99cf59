"""One file of a tar archive, of which nothing else is believed or unpacked.

An archive is a row of blocks of 512 bytes: a header for each file, then its content, filled up to whole blocks; a block
of zeros ends it. Of a header (POSIX.1-1988, "ustar") we read

    byte 0     100 bytes  the name                    156    1 byte     the type; "0" or NUL: a regular file
         124    12 bytes  the size, octal digits      257    6 bytes    "ustar" and NUL where there is a prefix
         148     8 bytes  the sum of the header's     345  155 bytes    the prefix of the name, before a slash
                          bytes, these 8 as blanks

Extensions (long names, attributes, sparse files) are skipped by their size like the content of any other file, so no
header can lead to another, and a size is a number of octal digits or damage.
"""

import posixpath
import re
from typing import IO

from minilop.data.contents import PIECE, read_exactly, stranger
from minilop.data.errors import DataError

BLOCK = 512  # bytes


def read_member(archive: IO[bytes], member: str, most_bytes: int, name: str) -> bytearray:
    """The content of the file `member`, of the first of that name.

    archive     an opened tar archive, which is read to its end, where gzip compares the checksum of the whole
    most_bytes  that the unpacked archive may have
    name        what to call it in a message

    Raises DataError where the archive is damaged, too large or of another kind, or does not hold the file.
    """
    content, reached = None, 0  # bytes of the archive that are accounted for
    while True:
        header = read_exactly(archive, BLOCK)
        if not any(header) and len(header) == BLOCK:
            break
        size = _size(header, name, is_first=reached == 0)
        blocks = -(-size // BLOCK) * BLOCK
        reached += BLOCK + blocks
        if reached > most_bytes:
            raise too_large(name, reached, most_bytes)
        if content is None and header[156] in b"0\0" and posixpath.normpath(_name(header)) == member:
            content = read_exactly(archive, size)
            found, blocks = len(content), blocks - size
            if found < size:
                raise _damaged(name, f"it ends within {member}")
        while blocks and (piece := archive.read(min(PIECE, blocks))):
            blocks -= len(piece)
        if blocks:
            raise _damaged(name, "it ends within a file")
    while piece := archive.read(PIECE):
        reached += len(piece)
        if reached > most_bytes:
            raise too_large(name, reached, most_bytes)
    if content is None:
        raise DataError(f"{name} does not hold {member}; get the official archive.")
    return content


def too_large(name: str, size: int, most_bytes: int) -> DataError:
    return DataError(
        f"{name} comes to {size:,} bytes or more where at most {most_bytes:,} are expected; download it again."
    )


def _size(header: bytearray, name: str, is_first: bool) -> int:
    """The size that a header announces. Raises DataError where it is no header."""
    total = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    announced = re.fullmatch(rb" *([0-7]{1,7})[ \0]*", header[148:156])
    size = re.fullmatch(rb" *([0-7]{1,12})[ \0]*", header[124:136])
    if len(header) == BLOCK and announced and int(announced[1], 8) == total and size:
        return int(size[1], 8)
    if not is_first:
        raise _damaged(name, "it ends early" if len(header) < BLOCK else "a file's header is wrong")
    kind, what_to_do = stranger(bytes(header))
    raise DataError(f"{name} is {kind or 'no tar archive'}; {what_to_do or 'download it again'}.")


def _name(header: bytearray) -> str:
    name, prefix = (part.split(b"\0")[0].decode("latin1") for part in (header[:100], header[345:500]))
    return f"{prefix}/{name}" if prefix and header[257:263] == b"ustar\0" else name


def _damaged(name: str, finding: str) -> DataError:
    return DataError(f"{name} is a damaged tar archive: {finding}; download it again.")
