"""Which unit of work runs where, when and how often: a pure state machine, events in and decisions
out."""
