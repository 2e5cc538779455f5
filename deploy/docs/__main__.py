"""Write the generated documents, or with `--check` say which of them differ."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from deploy.docs import config_page, topics_page
from deploy.docs.fields import field_docs
from deploy.docs.records import load
from marketdata import raw, schemas, types

ROOT = Path(__file__).resolve().parents[2]


def documents() -> dict[str, str]:
    """Path below the repository's root -> text, of everything that is generated."""
    found = {"docs/CONFIG.md": config_page.page(), "docs/TOPICS.md": topics_page.page(load())}
    for name, schema in schemas.schemas(field_docs(types, raw)).items():
        found[f"schemas/{name}.json"] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return found


def differing(root: Path = ROOT) -> list[str]:
    """Generated files that are missing, differ from the code, or are left over."""
    wanted = documents()
    wrong = [p for p, text in wanted.items() if not (root / p).is_file() or (root / p).read_text("utf-8") != text]
    left = [f"schemas/{f.name}" for f in (root / "schemas").glob("*.json") if f"schemas/{f.name}" not in wanted]
    return sorted(wrong + left)


def write(root: Path = ROOT) -> None:
    wanted = documents()
    for path in differing(root):
        if path in wanted:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(wanted[path], encoding="utf-8")
        else:
            (root / path).unlink()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file differs")
    if not parser.parse_args(argv).check:
        write()
        return 0
    wrong = differing()
    if wrong:
        print(f"generated files differ from the code: {', '.join(wrong)}\nrun: python -m deploy.docs", file=sys.stderr)  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
