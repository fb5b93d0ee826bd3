"""Limits that follow what the other side can bear, learned by all processes together."""
