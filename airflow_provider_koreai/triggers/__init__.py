"""What waits in the triggerer. It orchestrates; what is decided and what is sent is in the wings below."""
