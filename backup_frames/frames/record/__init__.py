"""The service's record of a backup: its fields, pages of it, and what is odd of it."""
