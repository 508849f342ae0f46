"""The parameters of chains of steps on features, as job files give them."""
