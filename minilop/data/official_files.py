"""What is known of the files in which a data set is published, for its reader and for the command that fetches it."""

from pathlib import Path
from typing import NamedTuple


class OfficialFile(NamedTuple):
    name: str
    size: int  # bytes
    md5: str  # told to the user and compared when fetching; no reader enforces it, since a subset is welcome too


def fetch_command(dataset: str, folder: Path) -> str:
    """What to type to have the data set where its reader looks for it in `folder`."""
    return f"python -m minilop.data fetch {dataset} --out {folder}"
