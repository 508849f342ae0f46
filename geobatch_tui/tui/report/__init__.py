"""The report of a run: facts of its ledger and its log, and a page made of them; no Textual."""
