"""Submit creates, poll personas, and reconcile uncertain submissions."""
