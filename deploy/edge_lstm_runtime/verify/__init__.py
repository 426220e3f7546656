"""Is a backend right, and how fast is it, on this machine?"""
