"""The commands as people type them: their arguments, options and help. What they do is imported when they are called."""
