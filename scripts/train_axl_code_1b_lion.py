"""Train AXL-Code-1B-Lion: `python scripts/train_axl_code_1b_lion.py --max_time 1200`."""

from published import train_script

if __name__ == "__main__":
    raise SystemExit(train_script("AXL-Code-1B-Lion"))
