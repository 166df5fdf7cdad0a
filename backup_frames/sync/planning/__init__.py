"""What a sync asks and reads, decided before it reads: counts, plan, what is proven already."""
