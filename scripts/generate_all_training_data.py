"""Make the data of all skills: `python scripts/generate_all_training_data.py --skip-hf`.

The data is made from packages that are installed here, so nothing is downloaded with or without `--skip-hf`;
`scripts/download_training_data.py` fetches more.
"""

import argparse

from published import axl

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the data of all skills, as axl data make --all does.")
    parser.add_argument("--skip-hf", action="store_true", help="download nothing (which it never does)")
    parser.add_argument("--out", default="data", help="where the data goes")
    parser.add_argument("--models", nargs="+", help="skills (default: all)")
    given = parser.parse_args()
    raise SystemExit(axl(["data", "make", *(given.models or ["--all"]), "--out", given.out]))
