"""Case tables, references and generic properties that several test files share."""
