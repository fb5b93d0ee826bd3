"""The lab: a local Airflow under one supervisor, and the commands that run, prove and grade lessons on it."""
