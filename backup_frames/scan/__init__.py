"""One answer: all rows that a query matches, read so that none can be skipped, with a certificate."""
