"""Percentiles, outcomes and arrivals, from what is known for certain."""
