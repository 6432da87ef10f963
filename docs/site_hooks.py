"""What `make site` does beside mkdocs: pages from outside docs/, the notebook as a page, links that suit both.

The pages link to each other and to files of the repository as GitHub shows them. A link to a file that is a page of the
site leads to that page; one to any other file of the repository is left as the file's name.
"""

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# {page of the site: file of the repository}
FROM_THE_ROOT = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
NOTEBOOK = "notebook.ipynb"
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in docs/."""
    for name, source in FROM_THE_ROOT.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    notebook = json.loads((ROOT / "docs" / NOTEBOOK).read_text(encoding="utf-8"))
    files.append(File.generated(config, "notebook.md", content=notebook_page(notebook)))
    return files


def notebook_page(notebook: dict[str, Any]) -> str:
    """The cells of a notebook as Markdown."""
    parts = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join([*parts, f"The notebook itself: [{NOTEBOOK}]({NOTEBOOK}).", ""])


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages."""
    name = page.file.src_uri
    folder = ROOT if name in FROM_THE_ROOT else ROOT / "docs"
    blocks = re.split(r"(^```.*?^```$)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(
        block if block.startswith("```") else LINK.sub(lambda m: _link(m, name, folder), block) for block in blocks
    )


def _link(match: re.Match[str], page: str, folder: Path) -> str:
    text, target = match.groups()
    file, _, anchor = target.partition("#")
    if not file or re.match(r"[a-z]+:", target):
        return match[0]
    path = (folder / file).resolve()
    inside = str(path.relative_to(ROOT))
    pages = {source: name for name, source in FROM_THE_ROOT.items()}
    if page != "notebook.md":
        pages[f"docs/{NOTEBOOK}"] = "notebook.md"
    found = pages.get(inside, inside.removeprefix("docs/") if inside.startswith("docs/") else "")
    if not found:
        return f"{text} (`{inside}`)" if text != f"`{inside}`" else text
    return f"[{text}]({found}{'#' + anchor if anchor else ''})"
