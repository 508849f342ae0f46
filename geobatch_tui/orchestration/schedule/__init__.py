"""The scheduler, a pure state machine: takes events and decides which unit of work runs where, when
and how often."""
