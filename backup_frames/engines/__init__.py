"""Other engines: sources for Spark and dlt over the same verified read; nothing loads at import."""
