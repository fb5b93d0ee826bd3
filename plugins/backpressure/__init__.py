"""Limits and breakers whose state is shared by every process and host that uses the same storage and name."""

__version__ = "0.1.0"
