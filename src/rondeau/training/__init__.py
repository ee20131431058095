"""Learning: the loop that yields events, its optimisers and schedules. It prints nothing."""
