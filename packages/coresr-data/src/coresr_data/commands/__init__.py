"""One file a command: `add` declares its arguments, and a function runs it."""
