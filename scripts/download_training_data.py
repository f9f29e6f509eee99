"""Download Python code to train on: `python scripts/download_training_data.py --max_gb 5`."""

import argparse

from published import axl

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Download code to train on, as axl data download does.")
    parser.add_argument("--max_gb", type=float, default=5.0, help="gigabytes of source to keep")
    parser.add_argument("--out", default="data/download", help="where it goes")
    given, rest = parser.parse_known_args()
    raise SystemExit(axl(["data", "download", "--max-gb", str(given.max_gb), "--out", given.out, *rest]))
