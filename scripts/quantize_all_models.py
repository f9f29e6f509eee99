"""Export models as GGUF files: `python scripts/quantize_all_models.py --models code_1b_lion`, or all in checkpoints/."""

import argparse

from published import CHECKPOINTS, axl, folder_name, recipe_called

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="F16 and Q4_K_M of trained models, as axl quantize does.")
    parser.add_argument("--models", nargs="+", help="short names, such as code_1b_lion (default: all that are trained)")
    given = parser.parse_args()
    folders = [str(CHECKPOINTS / folder_name(recipe_called(short))) for short in given.models or ()]
    raise SystemExit(axl(["quantize", *(folders or ["--all"]), "--out", str(CHECKPOINTS)]))
