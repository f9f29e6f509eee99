"""torchft's lighthouse on one port, which says so when it is there: `lighthouse.py PORT`."""

from __future__ import annotations

import sys
import time

from torchft.coordination import LighthouseServer

if __name__ == "__main__":
    server = LighthouseServer(f"0.0.0.0:{sys.argv[1]}", min_replicas=1, join_timeout_ms=20_000, heartbeat_timeout_ms=10_000)
    print("ready", flush=True)
    while True:
        time.sleep(60)
