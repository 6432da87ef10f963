"""A LaTeX table of a report read back: which cell stands under which headings."""

import re


def _cells(line: str) -> list[str]:
    """The cells of a row, one that spans several columns as often as these are."""
    cells = []
    for cell in re.split(r"(?<!\\) & ", line.removesuffix(r" \\")):
        spans = re.match(r"\\multicolumn\{(\d+)\}\{c\}\{(.*)\}$", cell.strip())
        cells += [spans[2]] * int(spans[1]) if spans else [cell.strip().removeprefix(r"\raggedright ")]
    return cells


def columns(text: str) -> dict[tuple[str, str], dict[str, str]]:
    """{(owner, heading): {label: cell}} of the groups; every row has as many cells as there are columns."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    body = re.sub(r"\\bottomrule\n\\end\{tabular\}.*?\\toprule", r"\\midrule", text, flags=re.DOTALL)
    body = body[body.index("\\toprule\n") + 9 : body.index("\\bottomrule")]
    parts = [
        [line for line in part.splitlines() if not line.startswith("\\cmidrule")] for part in body.split("\\midrule\n")
    ]
    owners: list[str] = []
    headings: list[str] = []
    for part in parts:
        rows = [_cells(line) for line in part if r"\itshape" not in line]
        assert len({len(row) for row in rows}) == 1, rows
        if rows[-1][:2] == ["", "n"]:
            has_owners = any("(\\%)" in cell or "CLEAR" in cell or "GEM" in cell for cell in rows[0])
            owners = rows[0] if has_owners else [""] * len(rows[0])
            headings = [" ".join(filter(None, words)) for words in zip(*rows[has_owners:], strict=True)]
        elif r"\itshape" not in part[0]:
            for label, _, *cells in rows:
                for owner, heading, cell in zip(owners[2:], headings[2:], cells, strict=True):
                    if heading:
                        found.setdefault((owner, heading), {})[label] = plain(cell)
    return found


def plain(cell: str) -> str:
    """A cell without its fonts."""
    return (
        re.sub(r"\\fontsize\{6\}\{7.2\}\\selectfont|\\textbf|[{}]", "", cell)
        .replace("\\,$\\pm$\\,", " ± ")
        .replace("$-$", "-")
    )
