"""Parameters of the step *calc*, and the expressions in them: texts, checked, become trees."""
