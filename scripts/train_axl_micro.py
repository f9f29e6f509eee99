"""Train AXL-Micro-Lion: `python scripts/train_axl_micro.py --data_path data/my_code.txt --max_time 600`."""

from published import train_script

if __name__ == "__main__":
    raise SystemExit(train_script("AXL-Micro-Lion"))
