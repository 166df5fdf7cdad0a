"""The lake: Parquet partitions, the ledger that keeps them right, and the stores they live on."""
