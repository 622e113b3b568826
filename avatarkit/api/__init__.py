"""The Custom Avatar API over HTTP: one method for each endpoint."""
