"""Running code that nobody trusts, on what this machine offers to hold it: see `sandbox.run`."""
