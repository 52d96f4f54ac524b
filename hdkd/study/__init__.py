"""What a study consists of: its runs, their names, and the code behind each step."""
