"""Estimate percentiles of stage times, outcomes and arrivals from visits and lives."""
