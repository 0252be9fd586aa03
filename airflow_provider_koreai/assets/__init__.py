"""The asset that stands for a bot's utterances, and lineage."""
