"""What a data file is, told from a sample of it; nothing that changes numbers is guessed without evidence."""
