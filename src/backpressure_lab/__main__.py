"""Entry point of ``./lab``."""

print("lab: no command is there yet")
