"""Load shedding: give up what can't be done in time, least important first, and keep a record to do it later."""
