"""Skills: for each one examples, a prompt format, what constrains the answer, what verifies it, metrics and baselines.

A small net cannot be trusted, but a machine can check it: the model proposes, a verifier decides, and people see what passed.
"""
