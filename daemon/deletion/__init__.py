"""The deletion engine: the only thing that removes a task, whoever asks."""
