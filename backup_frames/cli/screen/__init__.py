"""What a person sees: streams, tables, and answers of any format."""
