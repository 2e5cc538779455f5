"""Generated documents follow the code, and the published schemas accept what we publish."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from deploy.docs import __main__ as docs
from deploy.docs import config_page
from deploy.docs.records import RECORDS as RECORDS_FILE
from deploy.docs.records import load
from marketdata.codec import decode, encoder
from marketdata.topics import TOPICS
from runtime.config import Config
from tests.deploy import shown_records
from tests.frames import frames_dir

RECORDS = [(topic, kind, record) for topic, kinds in load().items() for kind, record in kinds.items()]


def schema(topic: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((docs.ROOT / "schemas" / f"{topic}.json").read_text(encoding="utf-8"))
    return loaded


def test_files_are_as_the_code_says() -> None:
    assert docs.differing() == [], "run: python -m deploy.docs"


def test_drift_is_noticed_and_mended(tmp_path: Path) -> None:
    docs.write(tmp_path)
    assert docs.differing(tmp_path) == []
    trade = tmp_path / "schemas" / "md.trade.json"
    trade.write_text(trade.read_text().replace("trade_id", "tradeId"))
    shutil.copy(trade, tmp_path / "schemas" / "md.gone.json")
    (tmp_path / "docs" / "CONFIG.md").unlink()
    assert docs.differing(tmp_path) == ["docs/CONFIG.md", "schemas/md.gone.json", "schemas/md.trade.json"]
    docs.write(tmp_path)
    assert docs.differing(tmp_path) == []


@pytest.mark.parametrize("topic", [t.name for t in TOPICS if t.records])
def test_schemas_are_valid_and_refuse_what_is_not_ours(topic: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(topic))
    validator = jsonschema.Draft202012Validator(schema(topic))
    assert not validator.is_valid({})
    assert not validator.is_valid({"type": "something_else"})


@pytest.mark.parametrize(("topic", "kind", "record"), RECORDS, ids=[f"{t}-{k}" for t, k, _ in RECORDS])
def test_shown_records_fit_schema_and_type(topic: str, kind: str, record: dict[str, Any]) -> None:
    jsonschema.validate(record, schema(topic), jsonschema.Draft202012Validator)
    struct = decode(json.dumps(record).encode())
    assert type(struct) in next(t.records for t in TOPICS if t.name == topic)
    assert json.loads(encoder()(struct)) == record
    wrong = {k: v for k, v in record.items() if k != "exchange"}
    assert not jsonschema.Draft202012Validator(schema(topic)).is_valid(wrong)


def test_shown_records_are_what_the_applications_make() -> None:
    frames_dir()
    assert RECORDS_FILE.read_text(encoding="utf-8") == shown_records.text(shown_records.collect()), (
        "run: python -m tests.deploy.shown_records && python -m deploy.docs"
    )


def test_new_fields_do_not_break_the_schema() -> None:
    """Consumers with an old schema must accept records of a newer version."""
    for topic, _, record in RECORDS:
        jsonschema.validate({**record, "a_new_field": 1}, schema(topic), jsonschema.Draft202012Validator)


def test_every_setting_is_on_the_page() -> None:
    keys = {row.key for name, field in Config.model_fields.items() for row in config_page.rows(name, field)}

    def walk(model: BaseModel, path: str) -> set[str]:
        found: set[str] = set()
        for name in type(model).model_fields:
            value = getattr(model, name)
            found |= walk(value, f"{path}{name}.") if isinstance(value, BaseModel) else {f"{path}{name}"}
        return found

    assert walk(Config(), "") - {"exchanges"} <= keys
    assert "exchanges.<name>.<name>.symbols" in keys
