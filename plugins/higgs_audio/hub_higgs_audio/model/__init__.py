"""The networks of Higgs Audio v2 and how they are driven. Worker side only."""
