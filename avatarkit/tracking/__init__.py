"""When to poll, when to send, and what became of it."""
