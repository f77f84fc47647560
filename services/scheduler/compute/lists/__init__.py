"""Lists: filtered, sorted pages of sessions, tasks and results, and what they may cost."""
