"""Objects of stores (s3, gs, az, http): their URLs, conditional reads of them, and the errors of
networks in our own classes."""
