"""A job that is edited, its plan and its trial; knows no Textual."""
