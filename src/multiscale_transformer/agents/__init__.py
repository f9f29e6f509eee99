"""Agents: which tool a request in words is for, tools that act in a project step by step, and what a run teaches."""
