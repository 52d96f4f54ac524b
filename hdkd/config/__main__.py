"""``python -m hdkd.config`` writes the JSON schema by which editors check ``params.yaml``."""

import json
from pathlib import Path

from hdkd.config.parameters import json_schema

SCHEMA = Path("workflow/schemas/params.schema.json")


def schema_text() -> str:
    """The JSON schema as its file has it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA.parent.mkdir(parents=True, exist_ok=True)
    SCHEMA.write_text(schema_text(), encoding="utf-8")
