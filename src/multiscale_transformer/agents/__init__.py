"""Agents: what acts in a project step by step, with the skills as its tools, and what a run teaches it for the next one."""
