"""The training loop and the callbacks around it; no settings, no flags."""
