"""The operators. They orchestrate; what is decided and what is sent is in the wings below."""
