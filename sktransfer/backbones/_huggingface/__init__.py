"""Networks of transformers and sentence-transformers, as blocks."""
