"""The invented world: instances, their backups, and how both change in time."""
