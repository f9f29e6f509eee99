"""Benchmarks that run what a model writes: HumanEval, MBPP, HumanEval infilling and HumanEval-X."""
