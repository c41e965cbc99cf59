"""Reads one file of a tar archive without unpacking the others.

An archive is a sequence of blocks of 512 bytes: for each file a header, then the content, padded to whole blocks. A
block of zeros ends the archive. These fields of a header (POSIX.1-1988, "ustar") are read:

    byte 0     100 bytes  the name                    156    1 byte     the type; "0" or NUL: a regular file
         124    12 bytes  the size, octal digits      257    6 bytes    "ustar" and NUL if there is a prefix
         148     8 bytes  the sum of the header's     345  155 bytes    the prefix of the name, before a slash
                          bytes, these 8 as blanks

Extensions (long names, attributes, sparse files) are skipped like the content of any other file. A size must consist of
octal digits.
"""

import posixpath
import re
from typing import IO

from minilop.data.contents import PIECE, other_format, read_exactly
from minilop.data.errors import DataError

BLOCK = 512  # bytes


def read_member(archive: IO[bytes], member: str, most_bytes: int, name: str) -> bytearray:
    """The content of the first file named `member`.

    archive     an open tar archive; it is read to its end, where gzip checks the checksum
    most_bytes  largest size of the uncompressed archive
    name        the name of the archive in messages

    Raises DataError if the archive is damaged, too large, not a tar archive, or does not contain the file.
    """
    content, position = None, 0  # in the archive
    while True:
        header = read_exactly(archive, BLOCK)
        if not any(header) and len(header) == BLOCK:
            break
        size = _size(header, name, is_first=position == 0)
        blocks = -(-size // BLOCK) * BLOCK
        position += BLOCK + blocks
        if position > most_bytes:
            raise too_large(name, position, most_bytes)
        if content is None and header[156] in b"0\0" and posixpath.normpath(_name(header)) == member:
            content = read_exactly(archive, size)
            blocks -= size
            if len(content) < size:
                raise _damaged(name, f"it ends within {member}")
        while blocks and (piece := archive.read(min(PIECE, blocks))):
            blocks -= len(piece)
        if blocks:
            raise _damaged(name, "it ends within a file")
    while piece := archive.read(PIECE):
        position += len(piece)
        if position > most_bytes:
            raise too_large(name, position, most_bytes)
    if content is None:
        raise DataError(f"{name} does not contain {member}; get the official archive.")
    return content


def too_large(name: str, size: int, most_bytes: int) -> DataError:
    return DataError(f"{name} has {size:,} bytes or more, but at most {most_bytes:,} are expected; download it again.")


def _size(header: bytearray, name: str, is_first: bool) -> int:
    """The size of the file that a header announces. Raises DataError if the header is invalid."""
    total = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    announced = re.fullmatch(rb" *([0-7]{1,7})[ \0]*", header[148:156])
    size = re.fullmatch(rb" *([0-7]{1,12})[ \0]*", header[124:136])
    if len(header) == BLOCK and announced and int(announced[1], 8) == total and size:
        return int(size[1], 8)
    if not is_first:
        raise _damaged(name, "it ends early" if len(header) < BLOCK else "a header is invalid")
    kind, what_to_do = other_format(bytes(header))
    raise DataError(f"{name} is {kind or 'not a tar archive'}; {what_to_do or 'download it again'}.")


def _name(header: bytearray) -> str:
    name, prefix = (part.split(b"\0")[0].decode("latin1") for part in (header[:100], header[345:500]))
    return f"{prefix}/{name}" if prefix and header[257:263] == b"ustar\0" else name


def _damaged(name: str, finding: str) -> DataError:
    return DataError(f"{name} is a damaged tar archive: {finding}; download it again.")
