"""The known mistakes as the table of docs/verify.md: `python -m minilop.verify.mistakes.table docs/verify.md` brings it up to date."""

import sys
from pathlib import Path

from minilop.verify.case import load_cases
from minilop.verify.mistakes import MISTAKES

BEGIN, END = "<!-- known mistakes -->", "<!-- end of known mistakes -->"


def table() -> str:
    """Name, what is wrong and what is right, and the cases that are there to catch it, in Markdown."""
    cases = list(load_cases())
    lines = ["| mistake | what it is | caught by |", "|---|---|---|"]
    for mistake in MISTAKES.values():
        caught_by = ", ".join(f"`{case.id}`" for case in cases if mistake.name in case.flags)
        says = mistake.says.replace("|", "\\|")  # a stroke would end the cell
        lines.append(f"| `{mistake.name}` | {says} | {caught_by} |")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """A page with the present table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text()))
