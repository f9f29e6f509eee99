"""Export models as GGUF files: `python scripts/quantize_all_models.py --models code_1b_lion`, or all in checkpoints/."""

import argparse

from multiscale_transformer.model.folder import TRAINING_FILE
from published import CHECKPOINTS, axl, folder_name, recipe_called

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="F16 and Q4_K_M of trained models, as axl quantize does.")
    parser.add_argument("--models", nargs="+", help="short names, such as code_1b_lion (default: all that are trained)")
    given = parser.parse_args()
    trained = sorted(path.parent for path in CHECKPOINTS.glob(f"*/{TRAINING_FILE}"))
    folders = [CHECKPOINTS / folder_name(recipe_called(short)) for short in given.models] if given.models else trained
    raise SystemExit(
        axl(["quantize", *map(str, folders), "--out", str(CHECKPOINTS)]) if folders else axl(["quantize", "--all"])
    )
