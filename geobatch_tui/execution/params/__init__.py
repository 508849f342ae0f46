"""The parameters of operations, as job files give them."""
