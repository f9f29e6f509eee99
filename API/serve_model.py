"""Serve a checkpoint: `python API/serve_model.py --model checkpoints/axl_micro_lion --port 8880 --name axl-micro-lion`."""

import argparse

from multiscale_transformer.cli.main import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve a checkpoint, as axl serve does.")
    parser.add_argument("--model", required=True, help="the checkpoint's folder")
    parser.add_argument("--port", default="8880")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--name", help="what the model is called")
    given, rest = parser.parse_known_args()
    named = ["--served-model-name", given.name] if given.name else []
    raise SystemExit(main(["serve", "--model", given.model, "--host", given.host, "--port", given.port, *named, *rest]))
