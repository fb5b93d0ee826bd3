"""Exercises: what a learner writes, what is checked of it, and how far the learner is."""
