"""Writes the table of known mistakes in docs/verify.md: `python -m minilop.verify.mistakes.table docs/verify.md`."""

import sys
from pathlib import Path

from minilop.verify.case_files import load_cases
from minilop.verify.mistakes import MISTAKES

BEGIN, END = "<!-- known mistakes -->", "<!-- end of known mistakes -->"


def table() -> str:
    """The Markdown table: name, description, and the cases designed to catch the mistake."""
    cases = list(load_cases())
    lines = ["| mistake | what it is | caught by |", "|---|---|---|"]
    for mistake in MISTAKES.values():
        caught_by = ", ".join(f"`{case.id}`" for case in cases if mistake.name in case.flags)
        says = mistake.says.replace("|", "\\|")  # an unescaped bar would end the cell
        lines.append(f"| `{mistake.name}` | {says} | {caught_by} |")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """The page with the current table between its two markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text()))
