"""One file a command. `loading`, and what calls it, needs coresr-data and coresr-models (`coresr-eval[cli]`)."""
