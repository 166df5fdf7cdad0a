"""What is stored, journaled, merged and recovered; on storage, without a service."""
