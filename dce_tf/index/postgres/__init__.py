"""Collections in PostgreSQL, searched by its extension pgvector."""
