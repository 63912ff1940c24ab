"""What computes pooled vectors: torch, prepared for it, or another engine."""
