"""Serve the sandbox over HTTP: routes, request bodies, validation, rate limits."""
