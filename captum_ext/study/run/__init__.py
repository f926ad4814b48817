"""Computes the tasks of a study, in this process or on a cluster."""
