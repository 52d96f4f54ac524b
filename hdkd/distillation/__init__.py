"""How a teacher's knowledge enters the loss of HDKD (paper, section 3.5)."""
