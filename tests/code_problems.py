"""Small benchmark files in the formats of the published ones, for tests: each has canonical solutions that pass."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

DOUBLE = {
    "task_id": "HumanEval/0",
    "prompt": 'def double(number):\n    """Twice a number.\n    >>> double(2)\n    4\n    """\n',
    "entry_point": "double",
    "canonical_solution": "    return 2 * number\n",
    "test": "\n\nMETADATA = {'author': 'us'}\n\n\ndef check(candidate):\n    assert candidate(2) == 4\n",
}
LARGER = {
    "task_id": "HumanEval/1",
    "prompt": 'from typing import List\n\n\ndef larger(numbers: List[int], least: int) -> List[int]:\n    """Those above."""\n',
    "entry_point": "larger",
    "canonical_solution": "    kept = [one for one in numbers if one > least]\n    return kept\n",
    "test": "\n\ndef check(candidate):\n    assert candidate([1, 5], 2) == [5]\n",
}
HUMANEVAL = [DOUBLE, LARGER]
GAP = {
    "task_id": "SingleLineInfilling/HumanEval/1/L0",
    "entry_point": "larger",
    "prompt": LARGER["prompt"],
    "suffix": "    return kept\n",
    "canonical_solution": "    kept = [one for one in numbers if one > least]\n",
    "test": LARGER["test"],
}
SPAN = GAP | {
    "task_id": "RandomSpanInfillingLight/HumanEval/1/1",
    "prompt": LARGER["prompt"] + "    kept = [one for one in num",
    "suffix": "urn kept\n",
    "canonical_solution": "bers if one > least]\n    ret",
}
MBPP = [
    {
        "text": f"Write a function to add {number}.",
        "code": f"def add(value): \r\n    return value + {number}",
        "task_id": task_id,
        "test_setup_code": "",
        "test_list": [f"assert add(1) == {number + 1}", f"assert add(-{number}) == 0"],
        "challenge_test_list": [],
    }
    for number, task_id in enumerate((1, 2, 3, 4, 11, 12, 510, 511))
]
SANITIZED = [
    {
        "source_file": "x.ipynb",
        "task_id": 14,
        "prompt": "Write a function to find the root.",
        "code": "import math\ndef root(n):\n    return math.sqrt(n)",
        "test_imports": ["import math"],
        "test_list": ["assert math.isclose(root(4), 2)"],
    }
]
JAVASCRIPT = [
    {
        "task_id": "JavaScript/0",
        "prompt": "/* Twice a number. */\nconst twice = (number) => {\n",
        "declaration": "\nconst twice = (number) => {\n",
        "canonical_solution": "  return 2 * number;\n}\n\n",
        "test": "const testTwice = () => {\n  console.assert(twice(2) === 4)\n}\n\ntestTwice()\n",
        "example_test": "",
    },
    {
        "task_id": "JavaScript/1",
        "prompt": "const md = (text) => {\n",
        "declaration": "\nconst md = (text) => {\n",
        "canonical_solution": "  return require('js-md5')(text);\n}\n",
        "test": "",
        "example_test": "",
    },
]
_USES = "use std::collections::HashMap;\nuse rand::Rng;\nuse regex::Regex;\nuse md5;\n"
RUST = [
    {
        "task_id": "Rust/0",
        "prompt": "\n/*\n Twice a number.\n*/\n",
        "declaration": f"\n{_USES}\nfn twice(number: i32) -> i32{{\n",
        "canonical_solution": "    return 2 * number;\n}\n",
        "test": "\n#[cfg(test)]\nmod tests {\n    use super::*;\n\n    #[test]\n    fn test_twice() {\n"
        "        assert_eq!(twice(2), 4);\n    }\n}\n",
        "example_test": "None",
    },
    {
        "task_id": "Rust/1",
        "prompt": "",
        "declaration": f"\n{_USES}\nfn digest(text: String) -> String{{\n",
        "canonical_solution": '    return format!("{:x}", md5::compute(text));\n}\n',
        "test": "",
        "example_test": "None",
    },
]


def lines(path: Path, rows: list[dict[str, Any]]) -> str:
    """Write rows as JSON lines, gzipped where the name says so; returns the path as text."""
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)
