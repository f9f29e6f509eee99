"""`python -m multiscale_transformer` is `axl`, for where no script is on the path."""

from multiscale_transformer.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
