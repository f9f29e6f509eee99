"""Agents: choosing tools for what a person asks for in words, and filling in their arguments."""
