"""Pools of workers, and the dispatcher, which carries the scheduler's decisions to a pool and its
events back."""
