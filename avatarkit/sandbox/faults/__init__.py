"""Faults on request: rules, and the middleware that applies them."""
