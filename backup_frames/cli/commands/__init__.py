"""The commands: a file for each, named as it is; each turns options into one call of the library."""
