"""One request: from a `BackupQuery` to one checked page of the service; the only code that talks HTTP."""
