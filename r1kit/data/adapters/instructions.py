"""Read IFEval: prompts with instructions that rules can check.

{"key": 1, "prompt": "... no commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
{"prompt": "... no commas.", "checker": "instructions", "metadata": '[{"id": "punctuation:no_comma"}]', ...}
"""

import json
from typing import Any

from r1kit.rows import Row


def adapt_ifeval(row: Row) -> Row:
    """Read google/IFEval; arguments that are null belong to other instructions, and are left out."""
    arguments = row["kwargs"] if isinstance(row["kwargs"], list) else json.loads(row["kwargs"])
    instructions: list[dict[str, Any]] = []
    for instruction_id, values in zip(row["instruction_id_list"], arguments, strict=True):
        known_values = {name: value for name, value in (values or {}).items() if value is not None}
        instructions.append({"id": instruction_id, **known_values})
    return {
        "id": f"ifeval/{row['key']}",
        "prompt": row["prompt"],
        "checker": "instructions",
        "domain": "instructions",
        "metadata": json.dumps(instructions, ensure_ascii=False),
    }
