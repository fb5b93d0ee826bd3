"""Other people's code, run where it can neither reach nor use up what is ours; docs/grading.md says against what."""
