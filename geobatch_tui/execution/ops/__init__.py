"""The operations, and how they are found by name: the entry points ``geobatch.ops`` list them."""
