"""Data that models, data sets, metrics and programs share: boxes and crops, label maps, regions."""
