"""The parts of the lab and their one supervisor."""
