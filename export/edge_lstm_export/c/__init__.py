"""The C export: a folder of source for boards without Python and for microcontrollers."""
