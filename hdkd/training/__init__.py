"""One run from prepared data to its folder, and the choice of settings by trials."""
