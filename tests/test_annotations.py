"""Types say what is used of a library: a bare `Any` is left to values that may be anything."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "clearctl"
MOST = 0.08  # of all annotations


def annotations(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """(name, annotation) of every argument, result and annotated variable; a result has no name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            named = node.args
            given = [*named.posonlyargs, *named.args, *named.kwonlyargs, named.vararg, named.kwarg]
            yield from ((one.arg, one.annotation) for one in given if one is not None and one.annotation)
            if node.returns:
                yield "", node.returns
        elif isinstance(node, ast.AnnAssign):
            yield ast.unparse(node.target), node.annotation


FOUND = [
    (file.relative_to(PACKAGE.parent), name, ast.unparse(annotation))
    for file in sorted(PACKAGE.rglob("*.py"))
    for name, annotation in annotations(ast.parse(file.read_text(encoding="utf-8")))
]


def test_few_annotations_are_bare_any() -> None:
    bare = [f"{file}: {name or 'a result'}" for file, name, annotation in FOUND if annotation == "Any"]
    assert len(FOUND) > 5000
    assert len(bare) < MOST * len(FOUND), "\n".join(bare)


def test_what_avalanche_gives_has_a_type() -> None:
    """`clearctl.strategies.strategy` says what is used of it."""
    names = {"strategy", "self.strategy", "benchmark", "experience", "exp", "dataset", "dataloader"}
    assert not [(file, name) for file, name, annotation in FOUND if name in names and annotation == "Any"]
