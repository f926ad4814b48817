"""From a study to its cells and tasks, each with a key."""
