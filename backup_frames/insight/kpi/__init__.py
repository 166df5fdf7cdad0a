"""The KPI views in SQL, and the DuckDB file that holds them."""
