"""The compiled loops over features: WKB, flatbuffers, and pages of SQLite."""
