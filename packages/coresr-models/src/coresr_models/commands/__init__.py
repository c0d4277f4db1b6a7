"""The commands of `python -m coresr_models`, one a file."""
