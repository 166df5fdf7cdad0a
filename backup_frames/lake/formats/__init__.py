"""Delta Lake and Iceberg as the lake's store: tables in, tables out."""
