"""Apache Kafka's jars, fetched by `jgo` once and kept in a folder. `python -m deploy.local.jars FOLDER` does it now."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from marketdata.errors import StoreError

# kafka_2.13 declares no slf4j backend. log4j-slf4j-impl would pull kafka-clients down to 3.8 and break the broker.
KAFKA = "org.apache.kafka:kafka_2.13:4.2.0+org.slf4j:slf4j-simple:1.7.36"
LIST_NAME = "kafka-4.2.0.jars"


def cached(jars_dir: Path) -> list[Path] | None:
    """The jars named by the list written after a complete download; None where one of them is missing."""
    try:
        names = (jars_dir / LIST_NAME).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    jars = [jars_dir / name for name in names]
    return jars if jars and all(jar.is_file() for jar in jars) else None


def fetch(jars_dir: Path) -> list[Path]:
    """The jars, downloaded where missing. Raises StoreError with one sentence when that fails."""
    if jars := cached(jars_dir):
        return jars
    try:
        import jgo
    except ModuleNotFoundError:
        raise StoreError("the Python package jgo is missing: run `make setup`") from None
    logging.getLogger("jgo").setLevel(logging.ERROR)
    jars_dir.mkdir(parents=True, exist_ok=True)
    try:
        found = [Path(jar).absolute() for jar in jgo.build(KAFKA, cache_dir=jars_dir).all_jars]
    except Exception as exc:  # noqa: BLE001 (jgo raises whatever its HTTP client does)
        raise StoreError(f"cannot download Apache Kafka's jars: {' '.join(str(exc).split())[:300]}") from None
    listing = jars_dir / LIST_NAME
    part = listing.with_suffix(".part")
    part.write_text("\n".join(str(jar.relative_to(jars_dir.absolute())) for jar in found) + "\n", encoding="utf-8")
    part.replace(listing)
    return found


def downloaded_bytes(jars_dir: Path) -> int:
    """How much is there already: what a progress line shows."""
    return sum(f.stat().st_size for f in jars_dir.rglob("*.jar") if f.is_file()) if jars_dir.is_dir() else 0


if __name__ == "__main__":
    try:
        fetch(Path(sys.argv[1]))
    except StoreError as exc:
        print(exc, file=sys.stderr)  # noqa: T201 (a command for people)
        raise SystemExit(1) from None
