"""The sandbox's personas: their lives, records and webhooks."""
