"""Grading a class: files described in a sandbox, run as DAGs of our own, and summed up in a gradebook."""
