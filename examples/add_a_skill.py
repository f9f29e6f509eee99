"""A skill of your own: the model proposes, the sandbox verifies, and only what passed is shown.

    python examples/add_a_skill.py 'def double(x):' 'double(4)' 8

The skill: write the one line that a function returns, so that a call gives a value. The model draws several lines; each is run
in the sandbox, without network and files, and the first that gives the value is printed. Where none does, nothing is.
"""

from __future__ import annotations

import sys

from multiscale_transformer.engine.infill import fill_gap
from multiscale_transformer.engine.session import Session, open_session
from multiscale_transformer.model.folder import read_config
from multiscale_transformer.model.sampling import Sampling
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.zoo.shipped import shipped_model

ATTEMPTS = 64


def proposals(session: Session, head: str, context: int) -> list[str]:
    """Different expressions that the model would return, the likeliest first."""
    found: dict[str, None] = {}
    before, after = f"{head}\n    return ".encode(), b"\n\n\n"
    for seed in range(ATTEMPTS):
        sampling = Sampling(max_new_tokens=40, temperature=0.0 if seed == 0 else 0.9, seed=seed, stop=(b"\n",))
        found.setdefault("".join(session.stream(fill_gap(before, after, context), sampling)).strip())
    return [text for text in found if text]


def verified(sandbox: Sandbox, head: str, expression: str, call: str, value: str) -> bool:
    """Whether the function gives the value for the call."""
    outcome = sandbox.run_python(f"{head}\n    return {expression}\n\nassert {call} == {value}\nprint('passed')\n")
    return outcome.ok and outcome.stdout == "passed\n"


def main(head: str, call: str, value: str) -> int:
    """Propose and verify; 1 where nothing passed."""
    model = shipped_model()
    session = open_session(model)
    texts = proposals(session, head, read_config(model).max_seq_len)
    with Sandbox() as sandbox:
        for number, expression in enumerate(texts, 1):
            if verified(sandbox, head, expression, call, value):
                print(f"{head}\n    return {expression}")
                print(f"# proposal {number} of {len(texts)}; {call} == {value} in the sandbox")
                return 0
    print(f"none of {len(texts)} proposals passed")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
