"""Meanings of fields, read from the docstrings under them in the source."""

from __future__ import annotations

import ast
from itertools import pairwise
from pathlib import Path
from types import ModuleType


def field_docs(*modules: ModuleType) -> dict[str, dict[str, str]]:
    """Class name -> field -> docstring, fields of base classes in the same modules included."""
    own: dict[str, dict[str, str]] = {}
    bases: dict[str, list[str]] = {}
    for module in modules:
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                own[node.name] = _documented(node.body)
                bases[node.name] = [b.id for b in node.bases if isinstance(b, ast.Name)]
    return {name: _with_bases(name, own, bases) for name in own}


def _documented(body: list[ast.stmt]) -> dict[str, str]:
    found = {}
    for field, after in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            found[field.target.id] = after.value.value
    return found


def _with_bases(name: str, own: dict[str, dict[str, str]], bases: dict[str, list[str]]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for base in bases.get(name, []):
        merged |= _with_bases(base, own, bases)
    return merged | own.get(name, {})
