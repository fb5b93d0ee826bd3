"""Retries that do not make it worse: siblings that part, a shared budget, and the other side's own word."""
