"""The paper's published values beside what this project measured."""
