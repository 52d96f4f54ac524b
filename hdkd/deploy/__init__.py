"""Trained models in use: exported with a card, predicting for files, served by MLflow."""
